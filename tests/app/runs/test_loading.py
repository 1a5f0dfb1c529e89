from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli.main import main
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


CHANGES = {
    "model.architecture.hidden": ("16", 5),
    "model.lr": ("0.01", 3),
    "model.scheme.bits": ("8", 2),
    "model.lr_scheduler": ("None", "StepLR"),
    "trainer.max_epochs": ("12", 7),
    "trainer.accumulate_grad_batches": ("1", 3),
}


@pytest.mark.parametrize("setting", CHANGES)
@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_what_was_trained_cannot_be_changed(refused: Refused, dq_run: Run, command: str, setting: str) -> None:
    had, given = CHANGES[setting]
    more = ("--output", "p.csv") if command == "predict" else ()
    told = refused(command, "--run", dq_run.directory, f"--{setting}", given, *more)
    assert told == (
        f"{dq_run.directory}: {setting} is {had} instead of {given}: what was trained cannot be changed here; "
        "give settings of data and trainer"
    )


def test_settings_of_the_run_itself_and_of_the_trainer_may_be_given(dq_run: Run) -> None:
    words = ("--model.scheme.bits", "8", "--trainer.limit_test_batches", "1")
    assert main(["test", "--run", str(dq_run.directory), *words]) == 0


@pytest.fixture
def copied(dq_run: Run, tmp_path: Path) -> Run:
    """A copy of a trained run, to be damaged."""
    shutil.copytree(dq_run.directory, tmp_path / CELL / "seed=3")
    return Run(tmp_path / CELL / "seed=3")


def test_a_damaged_checkpoint_is_refused_naming_the_file(copied: Run, refused: Refused, tmp_path: Path) -> None:
    copied.best_checkpoint.write_bytes(b"nonsense")
    told = refused("test", "--cell", CELL, "--seed", 3, "--runs-root", tmp_path)
    assert str(copied.best_checkpoint) in told


@pytest.mark.parametrize("command", ["test", "export", "benchmark"])
def test_a_finished_run_without_its_checkpoint_has_to_be_trained_again(
    copied: Run, refused: Refused, command: str
) -> None:
    """The same `fit` would do nothing, as there is a result."""
    copied.best_checkpoint.unlink()
    told = refused(command, "--run", copied.directory)
    missing = f"{copied.best_checkpoint}: no such checkpoint, though the run is finished; "
    assert told == f"{missing}train again with `train.py fit --overwrite`"
    copied.result.unlink()
    told = refused(command, "--run", copied.directory)
    assert told == f"{copied.directory}: no trained run here; train it with `train.py fit`"


def test_a_checkpoint_of_another_model_is_told_with_whole_names(copied: Run, refused: Refused) -> None:
    content = torch.load(copied.best_checkpoint, weights_only=True)
    for number in (1, 2):
        content["state_dict"][f"network.other{number}"] = torch.ones(1)
    torch.save(content, copied.best_checkpoint)
    told = refused("test", "--run", copied.directory)
    assert told.startswith(f"{copied.best_checkpoint}: is of another model than the settings describe, or of an older ")
    assert 'in state_dict: "network.other1"; train again' in told
    assert told.count('"') == 2


def test_a_damaged_config_is_refused_naming_the_file(copied: Run, refused: Refused) -> None:
    copied.config.write_text("a: [")
    assert str(copied.config) in refused("export", "--run", copied.directory)


def test_nothing_to_evaluate_is_refused(refused: Callable[..., str], dq_run: Run) -> None:
    told = refused("test", "--run", dq_run.directory, "--trainer.limit_test_batches=0")
    assert told == "trainer.limit_test_batches: 0 leaves nothing to evaluate; leave it out"


@pytest.mark.parametrize(
    ("command", "word", "told"),
    [
        ("test", "limit_test_batches=0.5", "limit_test_batches: 0.5 of 1 is less than one batch"),
        ("validate", "limit_val_batches=0.5", "limit_val_batches: 0.5 of 1 is less than one batch"),
        ("predict", "limit_predict_batches=1", "limit_predict_batches: has no effect, `predict` writes all rows"),
        ("test", "strategy=ddp_spawn", "strategy: ddp_spawn: the first process has no trained model afterwards"),
        ("test", "precision=16-true", "precision: 16-true: ranges of sites and sums need float32"),
        ("test", "barebones=true", "barebones: leaves no checkpoint"),
    ],
)
def test_a_trainer_with_which_nothing_can_be_evaluated_is_refused(
    refused: Refused, dq_run: Run, tmp_path: Path, command: str, word: str, told: str
) -> None:
    more = ("--output", tmp_path / "p.csv") if command == "predict" else ()
    assert refused(command, "--run", dq_run.directory, f"--trainer.{word}", *more).startswith(f"trainer.{told}")


@pytest.fixture(scope="module")
def own_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a graph `mine`, and the run of a GCN that was trained on it."""
    root = tmp_path_factory.mktemp("own")
    write_graph(root / "mine.npz", seed=0)
    words = ("--data.name", "mine", "--data.root", str(root), "--runs-root", str(root / "runs"))
    assert main(["fit", "--cell", "graph/gcn/dq_int8", *words, "--trainer.max_epochs", "2"]) == 0
    return root


OWN_RUN = "runs/graph-mine/gcn/dq_int8/seed=0"


def write_graph(path: Path, seed: int, scale: float = 1.0) -> None:
    random = np.random.default_rng(seed)
    x = scale * random.random((90, 4)).astype(np.float32)
    np.savez(path, x=x, edge_index=random.integers(90, size=(2, 300)), y=np.arange(90) % 3)


@pytest.mark.parametrize("command", ["export", "sensitivity", "benchmark", "test", "validate"])
def test_a_run_is_used_on_the_data_of_its_training_alone(
    own_graph: Path, refused: Refused, tmp_path: Path, command: str
) -> None:
    shutil.copytree(own_graph, tmp_path / "copy")
    write_graph(tmp_path / "copy/mine.npz", seed=1)
    run = Run(tmp_path / "copy" / OWN_RUN)
    run.config.write_text(run.config.read_text().replace(str(own_graph), str(tmp_path / "copy")))
    told = refused(command, "--run", run.directory)
    assert told.startswith(f"{run.directory}: was trained on other data: mine has other graphs now; ")


@pytest.mark.parametrize("command", ["test", "fit"])
def test_the_same_data_in_other_units_is_other_data(
    own_graph: Path, refused: Refused, tmp_path: Path, command: str
) -> None:
    shutil.copytree(own_graph, tmp_path / "copy")
    write_graph(tmp_path / "copy/mine.npz", seed=0, scale=4.0)  # standardised, it is the same to the last bit
    run, roots = Run(tmp_path / "copy" / OWN_RUN), ("--data.root", tmp_path / "copy")
    cell = ("--cell", "graph/gcn/dq_int8", "--runs-root", tmp_path / "copy/runs", "--data.name", "mine")
    told = refused(command, *cell, *roots, *(("--trainer.max_epochs", "2") if command == "fit" else ()))
    assert told.startswith(str(run.directory))
    assert ": mine has other scales of features now; " in told


@pytest.mark.parametrize("setting", ["features=raw", "features=row_normalized"])
def test_new_data_is_scaled_as_that_of_the_training(
    own_graph: Path, refused: Refused, tmp_path: Path, setting: str
) -> None:
    words = ("--split", "new", "--output", tmp_path / "p.csv", f"--data.{setting}")
    told = refused("predict", "--run", own_graph / OWN_RUN, *words)
    assert told.startswith("data.features is standardized instead of ")
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    "setting", ["split_file=no.npz", "val_size=0.3", "test_size=0.3", "split=1", "inductive=true", "parts=2"]
)
def test_new_data_is_not_split(own_graph: Path, refused: Refused, tmp_path: Path, setting: str) -> None:
    words = ("--split", "new", "--output", tmp_path / "p.csv", f"--data.{setting}")
    told = refused("predict", "--run", own_graph / OWN_RUN, *words)
    assert told.startswith(f"data.{setting.partition('=')[0]}: has no effect beside --split new")


def test_a_run_that_is_not_finished_is_used_with_a_remark(
    copied: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "--run", str(copied.directory)]) == 0
    assert "not finished" not in capsys.readouterr().err
    copied.result.unlink()
    words = ("--output", str(tmp_path / "out"))
    for command in (["test"], ["export", *words]):
        assert main([*command, "--run", str(copied.directory)]) == 0
        (line,) = (line for line in capsys.readouterr().err.splitlines() if "not finished" in line)
        assert line.startswith(f"{copied.directory}: training is not finished: epoch 12 of 12; ")
