from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.cli.main import main
from app.config.cells import select
from app.config.grids import load_grid
from app.engine.files import write_atomically
from app.grids.progress import Progress
from app.grids.scheduler import run_plan
from app.runs.completion import OtherSettingsError
from app.runs.experiment import Experiment
from app.runs.run_folder import Run

GRID = {
    "title": "tiny",
    "seeds": "0-1",
    "entries": [
        {"cells": "synthetic/gcn/fp32"},
        {"cells": "synthetic/gcn/qat_int8"},
        {"cells": "synthetic/gcn/qat_int8", "column": "high", "variant": "lr", "overrides": {"model.lr": 0.1}},
    ],
    "compare": [["high", "qat_int8"]],
}
NAMES = ("synthetic/gcn/fp32", "synthetic/gcn/qat_int8", "synthetic/gcn/qat_int8+lr")
Small = Callable[..., list[str]]


@pytest.fixture
def grid(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(GRID))
    return str(path)


def results(root: Path) -> dict[str, Any]:
    """What was measured, by folder, without durations and the like."""
    measured = ("cell", "seed", "metrics", "epoch", "epochs", "exactness", "error_by_degree")
    found = {path: json.loads(path.read_text()) for path in root.glob("**/result.json")}
    return {str(path.parent.relative_to(root)): {k: r[k] for k in measured} for path, r in found.items()}


def command(grid: str, root: Path, *words: str) -> list[str]:
    return ["reproduce", grid, "--runs-root", str(root), *words]


def test_a_table_is_filled_and_what_is_finished_stays(
    grid: str, small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    root = tmp_path / "runs"
    assert main(command(grid, root, *small(2), "--schemes", "fp32", "--seeds", "1")) == 0
    first = root / NAMES[0] / "seed=1" / "result.json"
    written = first.stat().st_mtime_ns
    capsys.readouterr()
    assert main(command(grid, root, *small(2), "--dry-run")) == 0
    out = capsys.readouterr().out
    assert "1 of 6 runs finished, 0 failed" in out
    assert all(name in out for name in NAMES)
    assert set(results(root)) == {f"{NAMES[0]}/seed=1"}
    assert main(command(grid, root, *small(2))) == 0
    assert set(results(root)) == {f"{name}/seed={seed}" for name in NAMES for seed in (0, 1)}
    assert first.stat().st_mtime_ns == written
    out = capsys.readouterr().out
    assert "6 of 6 runs finished, 0 failed" in out
    ended = [line for line in out.splitlines() if " seed=" in line and "accuracy % " in line]
    assert {line.split(":")[0] for line in ended} == {f"{name} seed={seed}" for name in NAMES for seed in (0, 1)} - {
        f"{NAMES[0]} seed=1"  # had ended before
    }
    assert "high - qat_int8" in out
    lrs = {name: Run(root / name / "seed=0").read_config()["model"]["init_args"]["lr"] for name in NAMES}
    assert list(lrs.values()) == [0.01, 0.01, 0.1]


def test_a_run_that_diverges_is_written_down_and_does_not_stop_the_rest(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, root = tmp_path / "bad.yaml", tmp_path / "runs"
    bad = {"cells": "synthetic/gcn/fp32", "column": "bad", "variant": "bad", "overrides": {"model.lr": 1e30}}
    path.write_text(yaml.safe_dump({"entries": [bad, {"cells": "synthetic/gcn/fp32"}]}))
    assert main(command(str(path), root, *small(6))) == 1
    run = Run(root / "synthetic/gcn/fp32+bad/seed=0")
    assert run.state == "failed"
    assert "diverged: " in run.read_failure()
    assert not run.result.exists()
    assert set(results(root)) == {"synthetic/gcn/fp32/seed=0"}
    assert "diverged" in capsys.readouterr().out
    before = run.failure.stat().st_mtime_ns
    assert main(command(str(path), root, *small(6))) == 1
    assert run.failure.stat().st_mtime_ns == before, "not tried again unasked"
    write_atomically(run.failure, json.dumps({"reason": "old"}))
    assert main(command(str(path), root, *small(6), "--retry-failed")) == 1
    assert "diverged: " in run.read_failure()


def test_a_table_with_other_settings_than_its_runs_is_refused_before_anything_is_trained(
    grid: str, small: Small, refused: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    assert main(command(grid, root, *small(2), "--schemes", "fp32", "--seeds", "1")) == 0
    kept = results(root)
    told = refused(*command(grid, root, *small(3), "--retry-failed"))
    assert f"{root / NAMES[0] / 'seed=1'} holds a run with other settings (trainer.max_epochs: 2 -> 3)" in told
    assert results(root) == kept
    assert not list(root.glob("**/failure.json"))
    assert not (root / NAMES[1]).exists()


def test_a_run_begun_meanwhile_with_other_settings_is_left_alone(train: Callable[..., Run], tmp_path: Path) -> None:
    run = train("synthetic/gcn/fp32", tmp_path, epochs=1)
    (cell,) = select("synthetic/gcn/fp32")
    other = Experiment(str(cell), 0, tuple(cell.config_files), ("--model.lr=0.1",), cell)
    for workers in (1, 2):
        with pytest.raises(OtherSettingsError):
            run_plan([other], tmp_path, jobs=workers, threads=1)
    assert run.state == "finished"
    assert not run.failure.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model.lrr", "3"), "model.lrr"),
        (("--model.lr",), "a value is missing"),
        (("more",), "'more': a word that no option takes"),
    ],
)
def test_a_word_that_is_no_setting_is_refused_before_anything_is_trained(
    grid: str, refused: Callable[..., str], tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    assert told in refused(*command(grid, tmp_path / "runs", *words))
    assert not list(tmp_path.glob("runs/**/*.json"))


def test_a_finished_table_is_checked_by_cell_not_by_run(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, built = tmp_path / "one.yaml", []
    path.write_text("seeds: 0-2\nentries: [{cells: synthetic/gcn/fp32}]")
    assert main(command(str(path), tmp_path / "runs", *small(1))) == 0
    build = Experiment.build
    monkeypatch.setattr(Experiment, "build", lambda *args: (built.append(1), build(*args))[1])
    assert main(command(str(path), tmp_path / "runs", *small(1))) == 0
    assert len(built) == 1


def test_a_dry_run_imports_nothing_heavy(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    code = "import sys; from app.cli.main import main; main(sys.argv[1:]); print('heavy', 'torch' in sys.modules)"
    out, err = start("-c", code, "reproduce", "table2", "--dry-run", "--runs-root", str(tmp_path)).communicate()
    total = len({(slot.name, seed) for slot in load_grid("table2").slots for seed in slot.seeds})
    assert total > 500
    assert f"\n0 of {total} runs finished" in out, err
    assert out.endswith("heavy False\n")


def test_what_is_at_work_and_the_time_left_come_first_on_a_small_screen(tmp_path: Path) -> None:
    progress = Progress("tiny", [(name, 0) for name in NAMES], tmp_path, jobs=1)
    with Run.of(tmp_path, NAMES[2], 0).exclusive():
        console = Console(width=120, record=True, file=StringIO())
        console.print(progress.live())
    lines = console.export_text().splitlines()
    assert lines[0] == "0 of 3 runs finished, 0 failed"
    assert [line.split()[1] for line in lines if "synthetic" in line] == [NAMES[2], NAMES[0], NAMES[1]]


def test_the_time_left_is_that_of_like_runs_shared_by_the_processes(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    plan = [(name, seed) for name in NAMES for seed in (0, 1)]

    def finish(name: str, seconds: float) -> None:
        result = {"cell": name, "seed": 0, "metrics": {"test/accuracy": 0.5}, "epoch": 0, "exactness": None}
        durations = {"fit": seconds - 1.0, "evaluate": 1.0}
        write_atomically(Run(root / name / "seed=0").result, json.dumps({**result, "durations": durations}))

    progress = Progress("tiny", plan, root, jobs=2)
    assert progress.seconds_left() is None
    finish(NAMES[0], 10.0)
    finish(NAMES[1], 40.0)
    progress.table()
    # left: seed 1 of the first (10 s) and second (40 s), two of the third (mean 25 s)
    assert progress.seconds_left() == pytest.approx((10 + 40 + 2 * 25) / 2)


@pytest.mark.slow
def test_a_grid_killed_and_shared_gives_the_table_of_an_undisturbed_one(
    grid: str, small: Small, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    epochs, quiet, shared = 10, tmp_path / "quiet", tmp_path / "shared"
    part = (*small(epochs), "--schemes", "fp32,qat_int8+lr")
    assert main(command(grid, quiet, *part)) == 0
    victim = start("train.py", *command(grid, shared, *part))
    killer = threading.Thread(target=kill_at_work, args=(victim, shared))
    killer.start()
    assert main(command(grid, shared, *part, "--jobs", "2")) == 0
    killer.join()
    assert victim.returncode == -signal.SIGKILL
    assert results(shared) == results(quiet)
    logs = [EventAccumulator(str(path)).Reload() for path in shared.glob("**/tensorboard")]
    counts = [len(log.Scalars("train/loss")) for log in logs]
    assert len(counts) == 4
    assert max(counts) <= epochs + 1, (
        "no epoch twice, but for the one the kill cut short"
    )  # what it had not flushed is lost


def kill_at_work(process: subprocess.Popen[str], root: Path) -> None:
    """SIGKILL once a run has begun."""
    while not any(root.glob("**/last.ckpt")) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
