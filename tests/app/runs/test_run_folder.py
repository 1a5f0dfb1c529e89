from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config.settings import differing_settings, read_yaml
from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.run_folder import Run, finished_runs

RESULT = {"cell": "cora/gcn/qat_int8", "seed": 0, "metrics": {}, "epoch": 1, "exactness": None}


def test_equal_settings_do_not_differ() -> None:
    settings = {"model": {"lr": 0.1, "overrides": [{"site": "a"}], "noise": None}}
    assert differing_settings(settings, json.loads(json.dumps(settings))) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"model": {"lr": 0.1}}, {"model": {"lr": 0.2}}, "model.lr: 0.1 -> 0.2"),
        ({"a": {"noise": None}}, {"a": {"noise": {"fraction": 0.5}}}, "a.noise.fraction: None -> 0.5"),
        ({"c": [{"site": "x"}]}, {"c": [{"site": "y"}]}, "c.0.site: x -> y"),
        ({"a": 1}, {"a": 1, "init_from": "run"}, "init_from: None -> run"),
    ],
)
def test_a_differing_setting_is_named_with_both_values(old: dict, new: dict, told: str) -> None:
    assert differing_settings(old, new) == [told]


@pytest.mark.parametrize("key", ["data.init_args.root", "trainer.default_root_dir", "trainer.enable_progress_bar"])
def test_where_and_how_loudly_a_run_is_made_may_differ(key: str) -> None:
    def nested(value: object) -> dict:
        for part in reversed(key.split(".")):
            value = {part: value}
        assert isinstance(value, dict)
        return value

    assert differing_settings(nested("a"), nested("b")) == []
    assert differing_settings({key.split(".")[0]: {"lr": 1}}, {key.split(".")[0]: {"lr": 2}}) != []


def test_a_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(source: Path, target: Path) -> None:
        assert Path(source).read_text() == "new", "the whole content is there before the file is replaced"
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


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


@pytest.mark.parametrize("content", ["{", "", "[]", '{"cell": "a/b/c"}', "\udcff"])
def test_a_damaged_result_is_refused_naming_the_file(tmp_path: Path, content: str) -> None:
    run = Run(tmp_path / "seed=0")
    run.directory.mkdir()
    run.result.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as caught:
        list(finished_runs(tmp_path))
    assert str(run.result) in str(caught.value)
    assert "delete it" in str(caught.value)


def test_no_result_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run here"):
        Run(tmp_path).read_result()


def test_finished_runs_are_the_run_folders_in_order(tmp_path: Path) -> None:
    for name in ("b/seed=1", "a/seed=0"):
        write_atomically(Run(tmp_path / name).result, json.dumps(RESULT))
    write_atomically(tmp_path / "other" / "result.json", "not ours")
    assert [run.directory for run, _ in finished_runs(tmp_path)] == [tmp_path / "a/seed=0", tmp_path / "b/seed=1"]


@pytest.mark.parametrize("content", ["a: [", "a: 3", "- 1", "trainer: {}\nmodel: {}\ndata: 3"])
def test_a_damaged_config_is_refused_naming_the_file(tmp_path: Path, content: str) -> None:
    run = Run(tmp_path)
    run.config.write_text(content)
    with pytest.raises(UserError) as caught:
        run.read_config()
    assert str(run.config) in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_read_yaml_reads_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: {b: [1, null]}")
    assert read_yaml(tmp_path / "x.yaml", "x") == {"a": {"b": [1, None]}}
