from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.runs.loading import is_trained
from app.runs.run_folder import Run

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]


@pytest.mark.parametrize("command", ["export", "benchmark"])
def test_a_run_folder_that_is_none_is_one_line(refused: Refused, tmp_path: Path, command: str) -> None:
    assert refused(command, "--run", tmp_path) == f"{tmp_path}: no trained run here; train it with `train.py fit`"


def test_the_run_that_was_meant_is_named(refused: Refused, dq_run: Run) -> None:
    cell = dq_run.directory.parent
    for folder in (cell, cell.parent, cell.parents[2], dq_run.program, dq_run.best_checkpoint.parent):
        told = refused("export", "--run", folder)
        assert told.startswith(f"{folder}: no trained run here; did you mean {cell.parents[2]}/")
        assert is_trained(Run(Path(told.removesuffix("?").partition("did you mean ")[2])))


def test_settings_that_make_another_model_than_was_trained_are_one_line(refused: Refused, dq_run: Run) -> None:
    root = dq_run.directory.parents[3]
    told = refused("test", "--cell", CELL, "--seed", 3, "--runs-root", root, "--model.architecture.hidden", 5)
    assert f"{dq_run.best_checkpoint}: is of another model" in told


@pytest.fixture
def copied(dq_run: Run, tmp_path: Path) -> Run:
    """A copy of a trained run, to be damaged."""
    shutil.copytree(dq_run.directory, tmp_path / CELL / "seed=3")
    return Run(tmp_path / CELL / "seed=3")


def test_a_damaged_checkpoint_is_refused_naming_the_file(copied: Run, refused: Refused, tmp_path: Path) -> None:
    copied.best_checkpoint.write_bytes(b"nonsense")
    told = refused("test", "--cell", CELL, "--seed", 3, "--runs-root", tmp_path)
    assert str(copied.best_checkpoint) in told


def test_a_damaged_config_is_refused_naming_the_file(copied: Run, refused: Refused) -> None:
    copied.config.write_text("a: [")
    assert str(copied.config) in refused("export", "--run", copied.directory)
