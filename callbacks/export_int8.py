"""Exports a trained model as an integer program of any bit width, despite the name: INT8, INT4, ..."""

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
    """Exports the integer program at the end of fit, in the bit width of the scheme, despite the name.

    The class is called ExportInt8 because configs and the `config.yaml` of every run name it. The program has the
    weights of the best checkpoint by the monitored metric. FP32 models have no integer program and are skipped.

    Args:
        directory: where the program goes; None: `program/` in the trainer's default root.
    """

    def __init__(self, directory: str | None = None) -> None:
        self.directory = directory

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Exports the program, on rank 0 only."""
        scheme = getattr(pl_module, "scheme", None)
        if not trainer.is_global_zero or not isinstance(scheme, QuantScheme) or not scheme.quantizes:
            return
        directory = Path(self.directory) if self.directory else Path(trainer.default_root_dir) / "program"
        best = best_checkpoint(trainer)
        export_program(pl_module, best, directory)


def best_checkpoint(trainer: pl.Trainer) -> Path | None:
    """Returns the checkpoint that a `ModelCheckpoint` with a monitor chose, None if there is none."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def weights_digest(network: torch.nn.Module) -> str:
    """Returns a hash of names, dtypes, shapes and values of all parameters and buffers of a network."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\0".encode() + array.tobytes())
    return digest.hexdigest()


def export_program(module: Any, checkpoint: Path | None, directory: Path) -> Path:
    """Writes the integer program of `module` with the weights of `checkpoint` and returns its folder.

    `checkpoint` None: with the weights that `module` has now. `module` stays as it is. Programs of equal weights are
    equal byte by byte, wherever their runs lie.
    """
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
    manifest["weights_sha256"] = weights_digest(network)
    return save_program(network.cpu().eval().lower(manifest), directory)
