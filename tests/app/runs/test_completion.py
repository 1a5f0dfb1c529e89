from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.config.checkpoints import read_checkpoint
from app.runs.run_folder import Run

CELL = "synthetic/gcn/dq_int8"
Refused = Callable[..., str]
Small = Callable[..., list[str]]
Train = Callable[..., Run]

EPOCHS = 2


@pytest.fixture(scope="module")
def finished_root(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    train(CELL, root, epochs=EPOCHS)
    return root


@pytest.fixture
def finished(finished_root: Path, tmp_path: Path) -> Run:
    """A finished run in a root of its own."""
    shutil.copytree(finished_root, tmp_path, dirs_exist_ok=True)
    return Run(tmp_path / CELL / "seed=0")


@pytest.fixture
def fit(small: Small, tmp_path: Path) -> list[object]:
    """The command that made the finished run."""
    return ["fit", "--cell", CELL, "--runs-root", tmp_path, *small(EPOCHS)]


def times(run: Run) -> dict[Path, int]:
    """When each file of a run was written."""
    files = run.directory.rglob("*")
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_finished_run_is_not_repeated(finished: Run, train: Train, tmp_path: Path) -> None:
    before = times(finished)
    train(CELL, tmp_path, epochs=EPOCHS)
    assert times(finished) == before


def test_overwrite_repeats_a_finished_run_and_gives_the_same_weights(
    finished: Run, train: Train, tmp_path: Path
) -> None:
    written = finished.result.stat().st_mtime_ns
    weights = read_checkpoint(finished.last_checkpoint)["state_dict"]
    train(CELL, tmp_path, "--overwrite", epochs=EPOCHS)
    assert finished.result.stat().st_mtime_ns > written
    again = read_checkpoint(finished.last_checkpoint)["state_dict"]
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_other_settings_are_refused_naming_the_setting(finished: Run, refused: Refused, fit: list[object]) -> None:
    before = finished.result.read_text()
    told = refused(*fit, "--model.lr", 0.5)
    assert "model.lr: 0.01 -> 0.5" in told
    assert "--overwrite" in told
    assert finished.result.read_text() == before


def test_overwrite_replaces_a_run_with_other_settings(finished: Run, train: Train, tmp_path: Path) -> None:
    train(CELL, tmp_path, "--model.lr=0.5", "--overwrite", epochs=EPOCHS)
    assert finished.read_config()["model"]["init_args"]["lr"] == 0.5


@pytest.mark.parametrize("name", ["last_checkpoint", "best_checkpoint"])
def test_a_damaged_checkpoint_is_refused_naming_the_file(
    finished: Run, refused: Refused, fit: list[object], name: str
) -> None:
    finished.result.unlink()
    path: Path = getattr(finished, name)
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        told = refused(*fit)
        assert str(path) in told
        assert "--overwrite" in told


def test_a_damaged_config_is_refused_naming_the_file(finished: Run, refused: Refused, fit: list[object]) -> None:
    finished.config.write_text("a: [")
    assert str(finished.config) in refused(*fit)


@pytest.mark.parametrize("left", ["result", "last_checkpoint", "nothing"])
def test_progress_is_what_is_left_in_the_folder(finished: Run, left: str) -> None:
    if left != "result":
        finished.result.unlink()
    if left == "nothing":
        finished.last_checkpoint.unlink()
    assert finished.progress == {"result": "finished", "last_checkpoint": "begun", "nothing": "new"}[left]


def test_what_fails_before_training_is_not_held_against_the_next_attempt(
    refused: Refused, train: Callable[..., Run], tmp_path: Path
) -> None:
    told = refused("fit", "--cell", CELL, "--runs-root", tmp_path, "--init-from", tmp_path / "nothing")
    assert f"--init-from {tmp_path / 'nothing'}: no checkpoint" in told
    assert train(CELL, tmp_path, epochs=1).result.exists()


def test_several_devices_for_one_graph_are_refused(refused: Refused, tmp_path: Path) -> None:
    told = refused("fit", "--cell", "cora/gcn/fp32", "--trainer.devices", 2, "--runs-root", tmp_path)
    assert told == (
        "trainer.devices: Cora is one graph, which 2 devices cannot share; "
        "set data.parts, such as 64, or use 1 and run seeds side by side"
    )


def test_several_processes_do_not_calibrate(refused: Callable[..., str], tmp_path: Path) -> None:
    two = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")
    assert "calibrated by one process" in refused("fit", "--cell", "digits/gcn/ptq_int8", "--runs-root", tmp_path, *two)
