"""Post-training quantization, distillation, and runs that begin with the weights of another scheme."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch_geometric.nn import GCNConv

from app.cli.main import main
from app.config.cells import select
from app.config.checkpoints import read_checkpoint
from app.config.settings import read_yaml
from app.errors import UserError
from app.runs.experiment import Experiment
from app.runs.loading import load_run
from app.runs.run_folder import Run
from app.runs.start.weights import check_variant
from models.quantization.control import quantizers

Train = Callable[..., Run]


def test_a_distilled_run_keeps_its_teacher_and_the_ranges_it_began_with(
    train: Train, fp32_root: Path, fp32_run: Run
) -> None:
    run = train("synthetic/gcn/distil_int4", fp32_root, epochs=8)
    assert run.read_result()["exactness"]["codes_differing"] == 0
    task, expected = load_run(run).model, load_run(fp32_run).model.network.state_dict()
    assert task.teacher.network.state_dict().keys() == expected.keys()
    for name, value in task.teacher.network.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert not torch.equal(task.network.convs[0].weight, expected["convs.0.weight"])

    calibrated = load_run(train("synthetic/gcn/ptq_int4", fp32_root, epochs=0)).model
    ranges = {site.name: site.grid() for site in quantizers(calibrated)}
    assert {site.name: site.grid() for site in quantizers(task)} == ranges


def test_a_teacher_has_to_be_named(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("--cell", "synthetic/gcn/qat_int8", "--runs-root", tmp_path, "--model.distillation.weight=0.5")
    assert "model.distillation: init_from (--init-from) has to name the teacher's run" in refused("fit", *words)


def test_a_missing_start_is_trained_first(train: Train, tmp_path: Path) -> None:
    words = ("--init-from=fp32", "--trainer.limit_train_batches=1")
    run = train("synthetic/gcn/qat_int8", tmp_path, *words, epochs=1)
    sibling = Run(tmp_path / "synthetic/gcn/fp32/seed=0")
    assert sibling.read_result()["cell"] == "synthetic/gcn/fp32"
    assert sibling.read_config()["data"] == run.read_config()["data"]
    assert run.read_config()["init_from"] == "fp32"


def test_nothing_to_train_and_nothing_to_start_from_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    told = refused("fit", "--cell", "synthetic/gcn/qat_int8", "--trainer.max_epochs=0", "--runs-root", tmp_path)
    assert "--init-from" in told


def test_a_start_has_the_data_of_the_run_however_it_is_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("data: {init_args: {num_features: 130}}")
    size = ("--data.num_nodes", "300", "--data.num_val", "60", "--data.num_test=80", f"--config={mine}")
    short = ("--init-from=fp32", "--trainer.max_epochs=1", "--trainer.enable_progress_bar", "false")
    assert main(["fit", "--cell", "synthetic/gcn/qat_int8", "--runs-root", str(tmp_path), *size, *short]) == 0
    run, sibling = (Run(tmp_path / f"synthetic/gcn/{scheme}/seed=0") for scheme in ("qat_int8", "fp32"))
    settings = sibling.read_config()["data"]
    assert settings == run.read_config()["data"]
    assert (settings["init_args"]["num_features"], settings["init_args"]["num_nodes"]) == (130, 300)


def test_a_run_does_not_start_from_itself(refused: Callable[..., str], tmp_path: Path) -> None:
    told = refused("fit", "--cell", "synthetic/gcn/fp32", "--init-from=fp32", "--runs-root", tmp_path)
    assert "fp32 is the scheme of synthetic/gcn/fp32 itself" in told


def test_a_variant_does_not_start_from_itself(tmp_path: Path) -> None:
    (cell,) = select("synthetic/gcn/fp32")
    name = "synthetic/gcn/fp32+b"
    experiment = Experiment.of_cell(cell, 0, overrides=("--init_from=fp32+b",), name=name)
    run = experiment.run_in(tmp_path)
    with run.exclusive(), pytest.raises(UserError, match=r"fp32\+b is synthetic/gcn/fp32\+b itself; name another"):
        check_variant(experiment, Run.of(tmp_path, name, 0), "fp32+b")


def test_a_variant_of_a_table_is_found_beside_the_run_and_not_trained_on_the_way(
    refused: Callable[..., str], train: Train, tmp_path: Path
) -> None:
    words = ("fit", "--cell", "synthetic/gcn/qat_int8", "--init-from=fp32+short", "--runs-root", tmp_path)
    told = "init_from: synthetic/gcn/fp32+short seed 0 is not trained; put its entry in front of this one"
    assert told in refused(*words)
    assert not (tmp_path / "synthetic/gcn/fp32+short").exists()
    source = train("synthetic/gcn/fp32", tmp_path, epochs=1)
    shutil.copytree(source.directory, Run.of(tmp_path, "synthetic/gcn/fp32+short", 0).directory)
    shutil.rmtree(source.directory)
    run = train("synthetic/gcn/qat_int8", tmp_path, "--init-from=fp32+short", "--model.lr=0", epochs=1)
    start = read_checkpoint(Run.of(tmp_path, "synthetic/gcn/fp32+short", 0).best_checkpoint)["state_dict"]
    end = read_checkpoint(run.last_checkpoint)["state_dict"]
    weights = [name for name in start if name.endswith((".weight", ".bias"))]
    assert weights
    assert all(torch.equal(start[name], end[name]) for name in weights)


def test_the_printed_config_says_where_the_weights_are_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--cell", "synthetic/gcn/qat_int8", "--init-from", "fp32", "--print_config"]) == 0
    assert "init_from: fp32" in capsys.readouterr().out


def test_init_from_starts_from_the_given_weights(train: Train, fp32_run: Run, tmp_path: Path) -> None:
    run = train("synthetic/gcn/qat_int8", tmp_path, f"--init-from={fp32_run.directory}", "--model.lr=0", epochs=1)
    start, end = (read_checkpoint(path)["state_dict"] for path in (fp32_run.best_checkpoint, run.last_checkpoint))
    parameters = dict(load_run(run).model.named_parameters())
    assert len(parameters) == 4
    for name in parameters:
        assert torch.equal(start[name], end[name]), name
    site = next(q for q in quantizers(load_run(run).model) if q.name == "convs.0.weights")
    weight = start["network.convs.0.weight"]
    assert site.grid().scale == pytest.approx(float(weight.max() - weight.min()) / 255, rel=0.01)
    assert read_yaml(run.config, "")["init_from"] == str(fp32_run.directory)


def test_qat_from_fp32_trains_on(train: Train, fp32_run: Run, tmp_path: Path) -> None:
    run = train("synthetic/gcn/qat_int8", tmp_path, f"--init-from={fp32_run.best_checkpoint}", epochs=3)
    log = EventAccumulator(str(run.board)).Reload()
    reference = EventAccumulator(str(fp32_run.board)).Reload()
    assert log.Scalars("train/loss")[0].value < reference.Scalars("train/loss")[0].value
    assert run.read_result()["exactness"]["margin_violations"] == 0


def test_init_from_another_network_is_refused(refused: Callable[..., str], fp32_run: Run, tmp_path: Path) -> None:
    words = ["fit", "--cell", "synthetic/gcn/qat_int8", "--runs-root", tmp_path, "--init-from"]
    assert "its network has no network.convs.0.weight of shape" in refused(*words, fp32_run.directory)
    (tmp_path / "file").write_text("no checkpoint")
    assert f"{tmp_path / 'file'}: not a readable checkpoint" in refused(*words, tmp_path / "file")


OWN = "tests.app.runs.test_initialization:Wide"


class Wide(torch.nn.Module):
    """A network of one's own."""

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 4) -> None:
        super().__init__()
        self.first, self.second = GCNConv(in_channels, hidden), GCNConv(hidden, out_channels)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        return self.second(self.first(x, edge_index).relu(), edge_index)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--model.architecture.activation=elu", "--model.architecture.hidden=8"), "architecture"),
        ((f"--model.network={OWN}", "--model.network_args.hidden=6"), "network_args"),
    ],
)
def test_a_start_has_the_network_of_the_run(train: Train, tmp_path: Path, words: tuple[str, ...], part: str) -> None:
    limit = ("--trainer.limit_train_batches=1", "--init-from=fp32")
    train("synthetic/gcn/qat_int8", tmp_path, *words, *limit, epochs=1)
    (run,) = (Run(path.parent) for path in tmp_path.glob("synthetic/*/qat_int8/seed=0/result.json"))
    (sibling,) = (Run(path.parent) for path in tmp_path.glob("synthetic/*/fp32/seed=0/result.json"))
    assert sibling.directory.parents[1] == run.directory.parents[1]
    one, other = (each.read_config()["model"]["init_args"][part] for each in (run, sibling))
    assert one == other
    assert one is not None


def test_a_network_in_a_file_is_that_of_the_start_too(train: Train, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("model: {init_args: {architecture: {init_args: {hidden: 8, dropout: 0.1}}, lr: 0.02}}")
    train("synthetic/gcn/qat_int8", tmp_path, "--config", str(mine), "--init-from=fp32", epochs=1)
    settings = Run(tmp_path / "synthetic/gcn/fp32/seed=0").read_config()["model"]["init_args"]
    assert settings["architecture"]["init_args"]["hidden"] == 8
    assert settings["architecture"]["init_args"]["dropout"] == 0.5, "of training, like the rate"
    assert settings["lr"] == 0.01


def test_a_start_of_another_network_is_refused(refused: Callable[..., str], small: Any, fp32_root: Path) -> None:
    words = ["fit", "--cell", "synthetic/gcn/ptq_int8", "--runs-root", fp32_root, *small(0)]
    told = refused(*words, "--model.architecture.activation=elu")
    assert told.startswith(f"init_from: fp32 is {fp32_root / 'synthetic/gcn/fp32/seed=0'}, a run of another network")
    assert "activation: relu -> elu" in told
    assert main([*map(str, words), "--model.architecture.roundings=needed"]) == 0, "FP32 rounds nothing"


def test_a_run_whose_start_was_trained_anew_is_not_shown_as_that_of_the_new_one(
    refused: Callable[..., str], train: Train, fp32_root: Path, small: Any
) -> None:
    run = train("synthetic/gcn/ptq_int8", fp32_root, epochs=0)
    words = ["fit", "--cell", "synthetic/gcn/ptq_int8", "--runs-root", str(fp32_root), *small(0)]
    kept = run.read_result()
    assert kept["start"] == run.read_start() is not None
    train("synthetic/gcn/fp32", fp32_root, "--overwrite")
    assert main(words) == 0, "the same weights"
    train("synthetic/gcn/fp32", fp32_root, "--overwrite", epochs=2)
    told = refused(*words)
    assert told.startswith(f"{run.directory}: its start, init_from fp32, was trained anew since")
    (fp32_root / "table.yaml").write_text("entries: [{cells: synthetic/gcn/ptq_int8}]")
    told = refused("reproduce", fp32_root / "table.yaml", "--runs-root", fp32_root, *small(0))
    assert told.startswith(f"{run.directory}: its start, init_from fp32, was trained anew since")
    assert "--overwrite" not in told
    assert main([*words, "--overwrite"]) == 0
    assert run.read_start() != kept["start"]
    shutil.rmtree(fp32_root / "synthetic/gcn/fp32")
    assert main(words) == 0, "a start that is gone is not compared"
