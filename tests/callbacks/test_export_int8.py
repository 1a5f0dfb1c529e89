from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from app.engine import load_program
from app.engine.program.io import read_program
from callbacks import ExportInt8, RangeTracker, export_int8
from callbacks.export_int8 import card_of, export_program, weights_digest
from callbacks.run_checkpoint import RunCheckpoint
from models.quantization.control import quantizers


class Exported(NamedTuple):
    """A trained task, the checkpoint of its best epoch, and the program."""

    task: torch.nn.Module
    checkpoint: Path
    program: Path
    bits: int


@pytest.fixture(params=[8, 4])
def exported(request, make_task, fit, tmp_path) -> Exported:
    """Six epochs at 8 or 4 bits, with a checkpoint of the best one."""
    task = make_task("dq", request.param)
    best = RunCheckpoint(tmp_path / "checkpoints", monitor="val/accuracy", mode="max", save_top_k=1)
    fit(task, [best, ExportInt8(str(tmp_path / "exported"))], epochs=6, enable_checkpointing=True)
    return Exported(task, Path(best.best_model_path), tmp_path / "exported", request.param)


def test_the_program_says_what_it_was_made_of(exported):
    network = exported.task.network
    state = torch.load(exported.checkpoint, weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    manifest = dict(read_program(exported.program).manifest)
    assert manifest.pop("data")["task"] == "node_classification"
    assert manifest == {
        "scheme": "dq",
        "bits": exported.bits,
        "architecture": "GCN",
        "weights_sha256": weights_digest(network),
    }


def test_programs_of_equal_runs_are_equal_bytes(make_task, fit, tmp_path):
    """Although their checkpoints differ: these hold the path of their folder."""
    programs, checkpoints = [], []
    for folder in (tmp_path / "one", tmp_path / "another"):
        torch.manual_seed(0)
        best = RunCheckpoint(folder, monitor="val/accuracy", mode="max")
        fit(make_task("dq"), [best, ExportInt8(str(folder / "program"))], epochs=2, enable_checkpointing=True)
        programs.append({path.name: path.read_bytes() for path in (folder / "program").iterdir()})
        checkpoints.append(Path(best.best_model_path).read_bytes())
    assert checkpoints[0] != checkpoints[1]
    assert programs[0] == programs[1]


def test_the_digest_of_weights_sees_every_weight(make_task):
    network = make_task("dq").network
    digests = {weights_digest(network)}
    assert weights_digest(copy.deepcopy(network).bfloat16()) not in digests
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.view(-1)[-1] += 1
            digests.add(weights_digest(network))
    assert len(digests) == len(list(network.parameters())) + 1


def test_the_program_predicts_what_the_best_epoch_did(exported, data):
    task, batch = exported.task, data.graph_data
    task.load_state_dict(torch.load(exported.checkpoint, weights_only=True)["state_dict"])
    with torch.no_grad():
        logits = task.eval()(batch).numpy()
    got = load_program(exported.program).run(batch.x, batch.edge_index)
    step = list(quantizers(task))[-1].grid().scale
    assert np.abs(got - logits).max() <= 1.001 * step
    assert (got != logits).mean() < 0.01


def test_without_a_monitor_the_program_has_the_last_weights(make_task, fit, tmp_path):
    task = make_task("qat")
    fit(task, [ExportInt8()], epochs=2)
    program = read_program(tmp_path / "program")
    assert program.manifest["weights_sha256"] == weights_digest(task.network)
    expected = task.network.convs[0].weights.codes(task.network.convs[0].weight).T.numpy()
    np.testing.assert_array_equal(program.constants["convs.0.weights"], expected)


def test_fp32_models_are_skipped(make_task, fit, tmp_path):
    fit(make_task("fp32"), [ExportInt8()], epochs=1)
    assert not (tmp_path / "program").exists()


class NotLowered(torch.nn.Module):
    """A convolution that knows nothing of integer programs."""

    def __init__(self, conv: torch.nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, *rows, **given):
        return self.conv(*rows, **given)


def test_a_layer_without_lower_is_named_in_a_warning(make_task, fit, tmp_path, caplog):
    task, export = make_task("qat"), ExportInt8()
    task.network.convs[0] = NotLowered(task.network.convs[0])
    fit(task, [export], epochs=1)
    messages = [record.message for record in caplog.records if record.name == "callbacks.export_int8"]
    assert messages == ["no integer program: NotLowered has no method `lower`"]
    assert export.reason == "NotLowered has no method `lower`"
    assert not (tmp_path / "program").exists()


def test_a_program_says_how_the_features_that_it_reads_were_scaled(exported, tmp_path):
    scaling = {"mean": [1.0, 0.0], "deviation": [2.5, 1.0]}
    folder = export_program(exported.task, exported.checkpoint, tmp_path / "scaled", card={"scaling": scaling})
    assert read_program(folder).manifest["scaling"] == scaling


def test_a_card_says_what_a_datamodule_says():
    known = {"name": "own", "task": "node_classification", "features_are": "as they are", "num_classes": 3}
    classes = SimpleNamespace(**known, class_names=("a", "b", "c"), scaling=SimpleNamespace(as_numbers=dict))
    said = {"name": "own", "task": "node_classification", "features": "as they are"}
    assert card_of(classes) == {"data": {**said, "classes": ["a", "b", "c"]}, "scaling": {}}
    assert card_of(SimpleNamespace(**known))["data"] == {**said, "classes": 3}
    assert "classes" not in card_of(SimpleNamespace(**known | {"task": "node_regression"}))["data"]
    assert card_of(object()) == {}


def test_of_a_trainer_of_ones_own_the_best_checkpoint_is_exported(make_task, fit, tmp_path, monkeypatch):
    """So it is with Lightning's `ModelCheckpoint`; of the weights at the end, where nothing monitors a metric."""
    used = []
    monkeypatch.setattr(
        export_int8, "export_program", lambda module, checkpoint, *rest, **card: used.append(checkpoint)
    )
    best = ModelCheckpoint(str(tmp_path), monitor="val/accuracy", mode="max")
    last = ModelCheckpoint(str(tmp_path), filename="last")
    for callbacks in ([last, best], [last]):
        fit(make_task("dq"), [RangeTracker(), ExportInt8(), *callbacks], epochs=2, enable_checkpointing=True)
    assert used == [Path(best.best_model_path), None]
