"""A checkpoint builds its task again from plain types alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.cli import ReduceLROnPlateau

from models.architectures import GAT, GCN, GIN
from models.layers import ReadoutConfig
from models.quantization.qconfig import NoiseConfig, QuantScheme, SiteOverride
from models.schemes import scheme_of
from models.tasks import GraphClassification, NodeClassification
from models.tasks.base import GraphTask
from models.tasks.distillation import Distillation

PLAIN = (str, int, float, bool, type(None))
DECAY = partial(torch.optim.lr_scheduler.StepLR, step_size=3)
OWN = {"network": "examples.networks:GCN", "network_args": {"hidden": 8}, "scheme": scheme_of("lsq_int4")}
READOUT = partial(GIN, hidden=8, embedding="linear", readout=ReadoutConfig("mean", [4]))
TASKS: dict[str, tuple[type[GraphTask], Any, dict[str, Any]]] = {
    "class": (NodeClassification, GCN, {"scheme": scheme_of("dq_int8"), "lr": 0.02, "monitor": "val/loss"}),
    "partial": (NodeClassification, partial(GAT, hidden=4, heads=2), {"optimizer": torch.optim.AdamW}),
    "scheduler": (NodeClassification, GCN, {"lr_scheduler": DECAY}),
    "plateau": (NodeClassification, GCN, {"lr_scheduler": partial(ReduceLROnPlateau, monitor="val/loss")}),
    "readout": (GraphClassification, READOUT, {"scheme": QuantScheme("nqat", 4, noise=NoiseConfig(0.3))}),
    "rules": (NodeClassification, GCN, {"scheme": QuantScheme("qat", 8, overrides=[SiteOverride("*.weights", 4)])}),
    "distilled": (NodeClassification, GCN, {"distillation": Distillation(0.5, 3.0)}),
    "own": (NodeClassification, None, OWN),
}


def saved(task: GraphTask, path: Path) -> dict[str, Any]:
    """Writes what a trainer writes of a task, and reads it without unpickling anything else."""
    content = {"state_dict": task.state_dict(), "pytorch-lightning_version": "2.6.0"}
    torch.save(content | {task.CHECKPOINT_HYPER_PARAMS_KEY: dict(task.hparams)}, path)
    read: dict[str, Any] = torch.load(path, weights_only=True)
    return read


def assert_plain(value: Any) -> None:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    assert isinstance(value, (*PLAIN, dict, list)), value
    for part in parts:
        assert_plain(part)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_built_again(name: str, tmp_path: Path) -> None:
    kind, architecture, settings = TASKS[name]
    task = kind(architecture, 5, 3, **settings)
    assert_plain(saved(task, tmp_path / "task.ckpt")["hyper_parameters"])
    again = kind.load_from_checkpoint(tmp_path / "task.ckpt", weights_only=True)
    expected = task.state_dict()
    torch.testing.assert_close(again.state_dict(), expected, rtol=0, atol=0, equal_nan=True)
    assert (again.scheme, again.lr, again.monitor) == (task.scheme, task.lr, task.monitor)
    assert (again.distillation, str(again.network)) == (task.distillation, str(task.network))
    optimizers = [str(one.configure_optimizers()) for one in (task, again)]
    assert optimizers[0].partition("lr_scheduler")[0] == optimizers[1].partition("lr_scheduler")[0]
    assert bool(again.lr_scheduler) == bool(task.lr_scheduler)


def test_what_no_name_stands_for_is_not_kept() -> None:
    """Such a task is built by hand."""
    assert not NodeClassification(lambda i, o, s: GCN(i, o, s), 5, 3).hparams
    assert not NodeClassification(GCN, 5, 3, optimizer=lambda p, **_: torch.optim.SGD(p)).hparams

    class Local(GCN):
        pass

    assert not NodeClassification(Local, 5, 3).hparams
