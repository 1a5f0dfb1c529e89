"""Runs on a machine with a GPU, as far as a machine without one can tell; see `tests.fake_gpu`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli.main import main
from app.config.checkpoints import read_checkpoint
from app.runs import training
from app.runs.exactness import compare
from app.runs.loading import load_run
from app.runs.predictions.degrees import error_by_degree
from app.runs.run_folder import Run
from models.quantization.fake_quantize import FakeQuantize
from models.tasks.base import GraphTask
from tests.fake_gpu import GPU, fake_gpu

Train = Callable[..., Run]

BATCHED = "digits/gcn_factored/lsq_dq_int8"
FEW = ("--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1")
SMALL_BATCHES = ("--trainer.enable_progress_bar=false", "--model.architecture.hidden=8", *FEW)
SANITY = "--trainer.num_sanity_val_steps=1"


class InterruptionError(Exception):
    """Ends a training early."""


@pytest.fixture(autouse=True)
def _says_everything_again() -> None:
    training.say.cache_clear()


@pytest.fixture
def gpu() -> Iterator[None]:
    """The machine has a GPU."""
    with fake_gpu():
        yield


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def any_gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """The machine has a GPU; a real one where there is one."""
    if request.param == "real" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU with CUDA here")
    with fake_gpu() if request.param == "fake" else nullcontext():
        yield


@pytest.mark.usefixtures("any_gpu")
@pytest.mark.parametrize("cell", ["synthetic/gcn/dq_int8", "synthetic/gat/lsq_int8"])
def test_one_graph_trains_on_the_gpu_by_default_and_ends_with_a_result(cell: str, train: Train, tmp_path: Path) -> None:
    result = train(cell, tmp_path, SANITY, epochs=2).read_result()
    assert result["trained_on"] == ["cuda"]
    assert result["exactness"] is not None
    assert result["exactness"]["predictions"] == 300
    assert result["exactness"]["margin_violations"] == 0
    assert result["error_by_degree"]


@pytest.mark.usefixtures("any_gpu")
def test_batches_of_graphs_train_on_the_gpu_and_end_with_a_result(tmp_path: Path) -> None:
    result = train_batches(tmp_path, "--trainer.max_epochs=1", SANITY).read_result()
    assert result["trained_on"] == ["cuda"]
    assert result["exactness"] is not None
    assert result["exactness"]["margin_violations"] == 0


def test_products_in_tf32_are_told_where_training_begins(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        train("synthetic/gcn/fp32", tmp_path / "cpu", epochs=1)
        assert "TF32" not in capsys.readouterr().err
        with fake_gpu():
            train("synthetic/gcn/fp32", tmp_path / "gpu", epochs=1)
        assert capsys.readouterr().err.count("torch is set to multiply in TF32") == 1
    finally:
        torch.set_float32_matmul_precision(before)


def train_batches(root: Path, *words: str, cell: str = BATCHED) -> Run:
    """Trains on batches of graphs."""
    assert main(["fit", "--cell", cell, "--runs-root", str(root), *SMALL_BATCHES, *words]) == 0
    return Run(root / cell / "seed=0")


@pytest.mark.usefixtures("any_gpu")
def test_in_half_precision_sites_round_float32_and_the_program_is_exact(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, rounded = set(), set()
    quantize, round_ = FakeQuantize.quantized, FakeQuantize.rounded
    monkeypatch.setattr(
        FakeQuantize, "quantized", lambda site, x, *mask: given.add(x.dtype) or quantize(site, x, *mask)
    )
    monkeypatch.setattr(FakeQuantize, "rounded", lambda site, x, *mask: rounded.add(x.dtype) or round_(site, x, *mask))
    result = train("synthetic/gcn/dq_int8", tmp_path, "--trainer.precision=bf16-mixed", epochs=2).read_result()
    assert (torch.bfloat16 in given, rounded) == (True, {torch.float32})
    assert result["trained_on"] == ["cuda"]
    assert result["exactness"] is not None
    assert result["exactness"]["predictions"] == 300
    assert result["exactness"]["margin_violations"] == 0


@pytest.mark.usefixtures("any_gpu")
@pytest.mark.parametrize("scheme", ["distil_int8", "ptq_int8"])
def test_a_run_that_starts_from_another_one_ends_with_a_result(scheme: str, train: Train, tmp_path: Path) -> None:
    """A teacher and its weights, and ranges that are calibrated without training."""
    train("synthetic/gcn/fp32", tmp_path, epochs=1)
    epochs = 0 if scheme == "ptq_int8" else 1
    result = train(f"synthetic/gcn/{scheme}", tmp_path, "--init-from=fp32", epochs=epochs).read_result()
    assert result["trained_on"] == ["cuda"]
    assert result["exactness"] is not None


@pytest.mark.usefixtures("any_gpu")
def test_commands_on_a_run_of_a_gpu_work(train: Train, tmp_path: Path) -> None:
    cell = "synthetic/gcn/dq_int8"
    run, named = train(cell, tmp_path, epochs=1), ["--cell", cell, "--runs-root", str(tmp_path)]
    folder = ["--run", str(run.directory)]
    assert main(["test", *named]) == 0
    assert main(["predict", *named, "--output", str(tmp_path / "predictions.csv")]) == 0
    assert main(["export", *folder, "--float64"]) == 0
    assert main(["sensitivity", *folder]) == 0


def test_what_is_chosen_is_said(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("synthetic/gcn/fp32", tmp_path / "cpu", epochs=1)
    assert "accelerator" not in capsys.readouterr().err, "where there is nothing to choose"
    with fake_gpu():
        train("synthetic/gcn/fp32", tmp_path / "gpu", epochs=1)
        assert "trainer.accelerator auto: cuda (Fake GPU); give cpu for the CPU" in capsys.readouterr().err
        train("synthetic/gcn/fp32", tmp_path / "asked", "--trainer.accelerator=cpu", epochs=1)
        assert "accelerator" not in capsys.readouterr().err


def test_a_run_of_a_gpu_is_read_where_there_is_none(train: Train, tmp_path: Path) -> None:
    with fake_gpu():
        run = train("synthetic/gcn/dq_int8", tmp_path, "--trainer.accelerator=gpu", epochs=1)
    assert main(["export", "--run", str(run.directory)]) == 0


@pytest.mark.usefixtures("gpu")
def test_a_model_on_the_gpu_is_compared_with_its_program(dq_run: Run) -> None:
    built, kept = load_run(dq_run), dq_run.read_result()["exactness"]
    assert kept is not None
    built.model.to(GPU)
    compared = compare(built.model, built.datamodule, dq_run.program)
    assert (compared["codes"], compared["predictions"]) == (kept["codes"], kept["predictions"])
    assert compared["margin_violations"] == 0
    assert built.model.device == GPU


@pytest.mark.usefixtures("gpu")
def test_a_model_on_the_gpu_is_lowered_as_it_is_on_the_cpu(dq_run: Run) -> None:
    network = load_run(dq_run).model.network
    here = network.lower().constants
    there = network.to(GPU).lower().constants
    assert here.keys() == there.keys()
    assert all(np.array_equal(there[name], constant) for name, constant in here.items())


@pytest.mark.usefixtures("gpu")
def test_a_model_on_the_gpu_errs_by_degree_as_on_the_cpu(fp32_run: Run) -> None:
    built = load_run(fp32_run)
    built.model.to(GPU)
    built.datamodule.setup("predict")
    assert error_by_degree(built.model, built.datamodule) == fp32_run.read_result()["error_by_degree"]


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_run_that_goes_on_elsewhere_says_so(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], first: str
) -> None:
    cell, places = "synthetic/gcn/dq_int8", {"cuda": fake_gpu, "cpu": nullcontext}
    (second,) = places.keys() - {first}
    with places[first]():
        run = train(cell, tmp_path, epochs=1)
    run.result.unlink()
    capsys.readouterr()
    with places[second]():
        train(cell, tmp_path, epochs=1)
    assert f"{run.directory}: begun on {first}, continued on {second}" in capsys.readouterr().err
    assert run.read_result()["trained_on"] == read_checkpoint(run.best_checkpoint)["trained_on"] == [first]


@pytest.mark.usefixtures("any_gpu")
@pytest.mark.parametrize("cell", ["synthetic/gcn/dq_int8", BATCHED, "digits/gat/dq_int8"])
def test_a_run_continued_on_the_gpu_ends_bit_for_bit_like_one_that_was_not_interrupted(
    train: Train,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    cell: str,
) -> None:
    def run_in(root: Path) -> Run:
        if cell.startswith("digits"):
            return train_batches(root, "--trainer.max_epochs=2", cell=cell)
        return train(cell, root, epochs=2)

    whole = run_in(tmp_path / "whole")

    begun: list[int] = []

    def interrupt(task: GraphTask) -> None:
        begun.append(task.current_epoch)
        if begun == [0, 1]:
            raise InterruptionError

    monkeypatch.setattr(GraphTask, "on_train_epoch_start", interrupt)
    with pytest.raises(InterruptionError):
        run_in(tmp_path)
    capsys.readouterr()
    run = run_in(tmp_path)
    assert begun == [0, 1, 1]
    assert "begun on" not in capsys.readouterr().err
    result, expected = run.read_result(), whole.read_result()
    assert result["durations"]["resumed"] is True
    assert result["trained_on"] == ["cuda"]
    assert (result["metrics"], result["exactness"]) == (expected["metrics"], expected["exactness"])
    mine, reference = (read_checkpoint(path)["state_dict"] for path in (run.last_checkpoint, whole.last_checkpoint))
    assert mine.keys() == reference.keys()
    assert {name for name, value in reference.items() if not torch.equal(mine[name], value)} == set()


def test_a_run_that_an_older_version_has_trained_ends_with_a_result(train: Train, tmp_path: Path) -> None:
    """Its checkpoints do not say what they were trained on."""
    run = train("synthetic/gcn/fp32", tmp_path, epochs=1)
    for path in (run.best_checkpoint, run.last_checkpoint):
        checkpoint = read_checkpoint(path)
        del checkpoint["trained_on"]
        torch.save(checkpoint, path)
    run.result.unlink()
    train("synthetic/gcn/fp32", tmp_path, epochs=1)
    assert run.read_result()["trained_on"] == []
