from __future__ import annotations

import json
import os
import signal
import subprocess
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.run_folder import Run, check_outputs, finished_runs

RESULT = {"cell": "cora/gcn/qat_int8", "seed": 0, "metrics": {}, "epoch": 1, "exactness": None}


def test_one_process_holds_a_run_until_it_ends_however_it_ends(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    run = Run(tmp_path / "seed=0")
    holder = start(
        "-c",
        f"import time\nfrom pathlib import Path\nfrom app.runs.run_folder import Run\n"
        f"with Run(Path({str(run.directory)!r})).exclusive():\n    print('held', flush=True)\n    time.sleep(60)",
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process is training this run"), run.exclusive():
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    with run.exclusive():
        pass
    with run.exclusive():  # and is let go of at the end of the block
        pass


def test_who_holds_a_run_removes_what_killed_writes_left_in_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    left = [
        path.with_name(f".{path.name}.{'0a' * 16}") for path in (run.result, run.last_checkpoint, run.program / "x")
    ]
    kept = [run.config, run.best_checkpoint, run.board / ".events.0"]
    for path in (*left, *kept):
        write_atomically(path, "")
    with run.exclusive():
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in kept)


@pytest.mark.parametrize(
    "content", ["{", "", "[]", '{"cell": "a/b/c"}', json.dumps(RESULT | {"metrics": {"test/accuracy": "x"}}), "\udcff"]
)
def test_a_damaged_result_is_refused_naming_the_file(tmp_path: Path, content: str) -> None:
    run = Run(tmp_path / "seed=0")
    run.directory.mkdir()
    run.result.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as caught:
        run.read_result()
    assert str(run.result) in str(caught.value)
    assert "delete it" in str(caught.value)


def test_no_result_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run here"):
        Run(tmp_path).read_result()


def test_finished_runs_are_the_run_folders_in_order(tmp_path: Path) -> None:
    for name in ("b/seed=1", "a/seed=0"):
        write_atomically(Run(tmp_path / name).result, json.dumps(RESULT))
    write_atomically(tmp_path / "other" / "result.json", "not ours")
    assert [run.directory for run in finished_runs(tmp_path)] == [tmp_path / "a/seed=0", tmp_path / "b/seed=1"]


@pytest.mark.parametrize("content", ["a: [", "a: 3", "- 1", "trainer: {}\nmodel: {}\ndata: 3"])
def test_a_damaged_config_is_refused_naming_the_file(tmp_path: Path, content: str) -> None:
    run = Run(tmp_path)
    run.config.write_text(content)
    with pytest.raises(UserError) as caught:
        run.read_config()
    assert str(run.config) in str(caught.value)
    assert "--overwrite" in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        "predict --run {run} --output {run}/checkpoints/best.ckpt",
        "predict --run {run} --output {run}/program/manifest.json",
        "sensitivity --run {run} --output {run}/config.yaml",
        "report --output {run}/data.json",
        "report --summary {run}/tensorboard/new.jsonl",
        "report --document {run}/config.yaml",
        "benchmark --run {run} --output {run}/start.json",
        "tune --cell synthetic/gcn/fp32 --output {run}/failure.json --storage {run}/x",
        "tune --cell synthetic/gcn/fp32 --output {run}/x --storage {run}/config.yaml",
        "export --run {run} --output {run}/checkpoints",
        "export --run other --output {run}/program",
        "export --run {run} --output {run}/program/deeper",
    ],
)
def test_the_own_files_of_a_run_are_no_place_for_an_output(
    refused: Callable[..., str], fp32_root: Path, words: str
) -> None:
    run = Run(fp32_root / "synthetic/gcn/fp32/seed=0")
    before = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    told = refused(*words.format(run=run.directory).split())
    assert f": is of the run in {run.directory}, whose files stay as they are; name another" in told
    assert before == {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}


def test_beside_its_own_files_and_in_other_folders_a_run_is_no_obstacle(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.config.write_text("")
    assert not run.owns(run.data)  # a folder with a config is no run yet
    run.last_checkpoint.parent.mkdir()
    assert run.owns(run.data)
    for name in ("predictions.csv", "reports/data.json", "program.json"):
        assert not run.owns(tmp_path / name)
    check_outputs(Namespace(run=str(tmp_path), written=[("--output", str(run.program))]), [])
