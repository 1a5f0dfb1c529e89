from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.cli.main import main
from app.config.grids import load_grid
from app.engine.files import write_atomically
from app.grids.scheduler import experiment_of
from app.runs.experiment import Experiment
from app.runs.run_folder import Run
from tests.app.processes import fork

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
FIRST = f"{NAMES[0]}/seed=1"
EVERY_RUN = {f"{name}/seed={seed}" for name in NAMES for seed in (0, 1)}
Small = Callable[..., list[str]]


@pytest.fixture
def grid(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(GRID))
    return str(path)


def results(root: Path) -> dict[str, Any]:
    """What was measured, by folder, without durations and the like."""
    measured = ("cell", "seed", "metrics", "chosen_epoch", "epochs", "exactness", "error_by_degree")
    found = {path: json.loads(path.read_text()) for path in root.glob("**/result.json")}
    return {str(path.parent.relative_to(root)): {k: r[k] for k in measured} for path, r in found.items()}


def command(grid: str, root: Path, *words: str) -> list[str]:
    return ["reproduce", grid, "--runs-root", str(root), *words]


@dataclass(frozen=True)
class Filled:
    """A table that was filled by two commands.

    Attributes:
        root: of its runs.
        first: when the result of the first command was written.
        dry: what a dry run printed between the two commands.
        found: names of the runs that were there after the dry run.
        printed: what the second command printed.
    """

    root: Path
    first: int
    dry: str
    found: set[str]
    printed: str


@pytest.fixture(scope="module")
def filled(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("filled")
    path, root = folder / "tiny.yaml", folder / "runs"
    path.write_text(yaml.safe_dump(GRID))

    def reproduce(*words: str) -> str:
        printed = StringIO()
        with redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", "200")  # some runners of tests set it to less than the table needs
            assert main(command(str(path), root, *small(2), *words)) == 0
        return printed.getvalue()

    reproduce("--schemes", "fp32", "--seeds", "1")
    first = (root / FIRST / "result.json").stat().st_mtime_ns
    dry = reproduce("--dry-run")
    return Filled(root, first, dry, set(results(root)), reproduce())


def test_filters_choose_what_is_trained(filled: Filled) -> None:
    assert filled.found == {FIRST}


def test_a_dry_run_shows_what_is_finished_and_trains_nothing(filled: Filled) -> None:
    assert "1 of 6 runs finished, 0 failed" in filled.dry
    assert all(name in filled.dry for name in NAMES)
    assert filled.found == {FIRST}


def test_a_table_is_filled(filled: Filled) -> None:
    assert set(results(filled.root)) == EVERY_RUN
    assert "6 of 6 runs finished, 0 failed" in filled.printed


def test_what_is_finished_is_not_trained_again(filled: Filled) -> None:
    assert (filled.root / FIRST / "result.json").stat().st_mtime_ns == filled.first


def test_a_line_is_printed_for_every_run_that_ends(filled: Filled) -> None:
    ended = [line for line in filled.printed.splitlines() if " seed=" in line and "accuracy % " in line]
    assert {line.split(":")[0].replace(" ", "/") for line in ended} == EVERY_RUN - {FIRST}


def test_the_table_is_printed_with_its_comparisons(filled: Filled) -> None:
    assert "high - qat_int8" in filled.printed


def test_the_overrides_of_an_entry_are_those_of_its_runs(filled: Filled) -> None:
    settings = [Run(filled.root / name / "seed=0").read_config()["model"]["init_args"] for name in NAMES]
    assert [setting["lr"] for setting in settings] == [0.01, 0.01, 0.1]


@dataclass(frozen=True)
class Diverged:
    """A table of a run that diverges and one that does not, after the command `words`."""

    words: list[str]
    root: Path
    printed: str

    @property
    def run(self) -> Run:
        return Run(self.root / "synthetic/gcn/fp32+bad/seed=0")


@pytest.fixture
def diverged(small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Diverged:
    path, root = tmp_path / "bad.yaml", tmp_path / "runs"
    bad = {"cells": "synthetic/gcn/fp32", "column": "bad", "variant": "bad", "overrides": {"model.lr": 1e30}}
    path.write_text(yaml.safe_dump({"entries": [bad, {"cells": "synthetic/gcn/fp32"}]}))
    words = command(str(path), root, *small(3))
    assert main(words) == 1
    return Diverged(words, root, capsys.readouterr().out)


def test_a_run_that_diverges_is_written_down_and_does_not_stop_the_rest(diverged: Diverged) -> None:
    assert diverged.run.state == "failed"
    assert "diverged: " in diverged.run.read_failure()
    assert not diverged.run.result.exists()
    assert set(results(diverged.root)) == {"synthetic/gcn/fp32/seed=0"}
    assert "diverged" in diverged.printed


def test_a_failed_run_is_tried_again_only_on_request(diverged: Diverged) -> None:
    written = diverged.run.failure.stat().st_mtime_ns
    assert main(diverged.words) == 1
    assert diverged.run.failure.stat().st_mtime_ns == written
    write_atomically(diverged.run.failure, json.dumps({"reason": "old"}))
    assert main([*diverged.words, "--retry-failed"]) == 1
    assert "diverged: " in diverged.run.read_failure()


def test_a_failed_run_begins_again_with_a_rate_put_right(diverged: Diverged, refused: Callable[..., str]) -> None:
    (diverged.run.directory / "checkpoints").mkdir(exist_ok=True)
    (diverged.run.directory / "checkpoints/last.ckpt").touch()  # as of a run that diverged later
    table = Path(diverged.words[1])
    table.write_text(table.read_text().replace("1.0e+30", "0.01"))
    assert "--retry-failed begins it again" in refused(*diverged.words)
    assert main([*diverged.words, "--retry-failed"]) == 0
    assert diverged.run.state == "finished"


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


def test_a_dry_run_refuses_what_the_run_would(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("reproduce", "table2", "--datasets", "cora", "--dry-run", "--runs-root", tmp_path, "--model.lrr", "1")
    assert refused(*words) == "model.lrr: no such setting; did you mean model.lr?"


@pytest.mark.slow
def test_a_grid_killed_and_shared_gives_the_table_of_an_undisturbed_one(
    grid: str, small: Small, tmp_path: Path
) -> None:
    epochs, quiet, shared = 10, tmp_path / "quiet", tmp_path / "shared"
    part = (*small(epochs), "--schemes", "fp32,qat_int8+lr")
    assert main(command(grid, quiet, *part)) == 0
    victim = fork(*command(grid, shared, *part))
    killer = threading.Thread(target=kill_at_work, args=(victim, shared))
    killer.start()
    assert main(command(grid, shared, *part, "--jobs", "2")) == 0
    killer.join()
    assert victim.exitcode == -signal.SIGKILL
    assert results(shared) == results(quiet)
    logs = [EventAccumulator(str(path)).Reload() for path in shared.glob("**/tensorboard")]
    counts = [len(log.Scalars("train/loss")) for log in logs]
    assert len(counts) == 4
    assert max(counts) <= epochs + 1, (
        "no epoch twice, but for the one the kill cut short"
    )  # what it had not flushed is lost


def kill_at_work(process: BaseProcess, root: Path) -> None:
    """SIGKILL once a run has begun."""
    while not any(root.glob("**/last.ckpt")) and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()


def test_a_dry_run_names_a_damaged_result_and_counts_it_as_failed(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.of(tmp_path / "runs", NAMES[0], 1)
    (slot,) = (slot for slot in load_grid(grid).slots if slot.name == NAMES[0])
    write_atomically(run.config, experiment_of(slot, 1, ()).build(run.directory).resolved())
    write_atomically(run.result, "{")
    assert main(command(grid, tmp_path / "runs", "--dry-run")) == 0
    out, err = capsys.readouterr()
    assert "0 of 6 runs finished, 1 failed" in out
    assert err == f"{run.result}: damaged; delete it and give the `fit` command of this run again\n"


def test_a_run_whose_start_is_in_another_shard_is_left_for_later(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"trainer.limit_train_batches": 1}
    start = {"cells": "synthetic/gcn/fp32", "variant": "short", "overrides": short}
    from_it = {"cells": "synthetic/gcn/qat_int8", "variant": "from", "overrides": {**short, "init_from": "fp32+short"}}
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump({"entries": [start, from_it]}))
    words = [*command(str(path), tmp_path), *small(1)]
    run = Run(tmp_path / "synthetic/gcn/qat_int8+from/seed=0")
    assert main([*words, "--shard", "2/2"]) == 1
    told = "qat_int8+from seed 0: left for later: init_from: synthetic/gcn/fp32+short seed 0 is not trained"
    assert told in capsys.readouterr().err
    assert run.state == "open"
    assert main([*words, "--shard", "1/2"]) == 0
    assert main([*words, "--shard", "2/2"]) == 0
    assert run.state == "finished"
