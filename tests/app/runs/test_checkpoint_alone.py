"""A checkpoint of a run builds its task without the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from app.cli.main import main
from models.architectures import GAT
from models.tasks import NodeClassification


def test_load_from_checkpoint(tmp_path: Path, small: Callable[..., list[str]]) -> None:
    words = ["--cell", "synthetic/gat/dq_int8", "--runs-root", str(tmp_path), *small(1)]
    assert main(["fit", *words, "--export=false"]) == 0
    path = next(tmp_path.rglob("best.ckpt"))
    task = NodeClassification.load_from_checkpoint(path, weights_only=True)
    kept = torch.load(path, weights_only=True)["state_dict"]
    torch.testing.assert_close(dict(task.state_dict()), dict(kept), rtol=0, atol=0, equal_nan=True)
    assert isinstance(task.network, GAT)
