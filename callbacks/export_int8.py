"""Writes the integer program of a trained model."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from app.engine.program.io import save_program
from models.quantization.qconfig import QuantScheme


class ExportInt8(pl.Callback):
    """At the end of fit, lowers the best checkpoint (by the monitored metric) to `directory`.

    The name is the customer's; the program has the bits of the scheme (INT8, INT4, ...). FP32 models have
    no integer program and are passed over.

    Args:
        directory: where the program goes; None: `program/` beside the trainer's default root.
    """

    def __init__(self, directory: str | None = None) -> None:
        self.directory = directory

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Exports on rank 0."""
        scheme = getattr(pl_module, "scheme", None)
        if not trainer.is_global_zero or not isinstance(scheme, QuantScheme) or not scheme.quantizes:
            return
        directory = Path(self.directory) if self.directory else Path(trainer.default_root_dir) / "program"
        best = best_checkpoint(trainer)
        export_program(pl_module, best, directory)


def best_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The checkpoint a monitoring ModelCheckpoint chose; None: there is none, the current weights count."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def export_program(module: Any, checkpoint: Path | None, directory: Path) -> Path:
    """Lowers `module` with the weights of `checkpoint` and writes the program; returns its folder."""
    network = copy.deepcopy(module.network)
    manifest: dict[str, Any] = {
        "scheme": module.scheme.name,
        "bits": module.scheme.bits,
        "architecture": type(network).__name__,
    }
    if checkpoint is not None:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        prefix = "network."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        manifest["checkpoint_sha256"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return save_program(network.cpu().eval().lower(manifest), directory)
