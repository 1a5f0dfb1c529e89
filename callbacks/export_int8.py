"""Exports a trained model as an integer program of any bit width, despite the name: INT8, INT4, ..."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from app.engine.program.io import save_program
from app.engine.program.model import IntegerProgram
from callbacks.run_checkpoint import RunCheckpoint
from models.quantization.control import quantizers
from models.quantization.qconfig import QuantScheme

log = logging.getLogger(__name__)


OUTPUTS = {"classification": "classes", "multilabel": "labels", "regression": "targets"}
"""What a card calls the columns of the logits, by the end of a task's name."""


class NoProgramError(ValueError):
    """The network has no integer program; the message says why."""


class ExportInt8(pl.Callback):
    """Exports the integer program at the end of fit, in the bit width of the scheme, despite the name.

    The class is called ExportInt8 because configs and the `config.yaml` of every run name it. The program has the
    weights of the best checkpoint by the monitored metric. FP32 models have no integer program and are skipped. Of a
    network that is quantized only in part, or cannot be lowered, a warning says why there is none.

    Args:
        directory: where the program goes; None: `program/` in the trainer's default root.

    Attributes:
        reason: why the last fit gave no program; None if it did, or the model is FP32.
        warns: whether a warning says so; False where something else tells the reason.
    """

    reason: str | None = None
    warns: bool = True

    def __init__(self, directory: str | None = None) -> None:
        self.directory = directory

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Exports the program, on rank 0 only."""
        self.export(trainer, pl_module, best_checkpoint(trainer), Path(trainer.default_root_dir) / "program")

    def export(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Path | None, directory: Path
    ) -> None:
        """Exports the program with the weights of a checkpoint, to `directory` unless the callback has its own."""
        if not trainer.is_global_zero or not wants_program(pl_module):
            return
        try:
            folder = Path(self.directory) if self.directory else directory
            export_program(pl_module, checkpoint, folder, card=card_of(trainer.datamodule))  # type: ignore[attr-defined]
            self.reason = None
        except NoProgramError as problem:
            self.reason = str(problem)
            if self.warns:
                log.warning("no integer program: %s", problem)


def card_of(datamodule: Any) -> dict[str, Any]:
    """Returns what a manifest says of the data that a network was trained on, as far as a datamodule says it.

    `data` has its name, the task, the classes, or labels, or of several numbers the targets (their names, or how many),
    how `x` was made of what the data has, and how it differs from the published one; `scaling` mean and deviation of
    each column that was standardised.
    """
    names = list(getattr(datamodule, "class_names", ()))
    learned = str(getattr(datamodule, "task", "")).partition("_")[2]
    width = getattr(datamodule, "num_classes", None)
    one_number = learned == "regression" and width == 1
    data = {
        "name": getattr(datamodule, "name", None),
        "task": getattr(datamodule, "task", None),
        **({OUTPUTS[learned]: names or width} if learned in OUTPUTS and not one_number else {}),
        "features": getattr(datamodule, "features_are", None),
        "substitute": getattr(datamodule, "substitute", None),
    }
    scaling = getattr(datamodule, "scaling", None)
    said = {key: value for key, value in data.items() if value}
    return ({"data": said} if said else {}) | ({} if scaling is None else {"scaling": dict(scaling.as_numbers())})


def wants_program(module: pl.LightningModule) -> bool:
    """Whether a module is quantized, at least in part, so that one expects an integer program of it."""
    _, network = quantized_part(module)
    scheme = getattr(network, "scheme", None) or getattr(module, "scheme", None)
    return isinstance(scheme, QuantScheme) and (scheme.quantizes or next(quantizers(module), None) is not None)


def quantized_part(module: torch.nn.Module) -> tuple[str, Any]:
    """Returns the path and the network of the first part of a module that has a scheme and can be lowered.

    So a LightningModule may hold a prepared network under any name. Of a module without such a part, its `network`.
    """
    for path, part in module.named_modules():
        if isinstance(getattr(part, "scheme", None), QuantScheme) and hasattr(part, "lower"):
            return path, part
    return "network", getattr(module, "network", None)


def best_checkpoint(trainer: pl.Trainer) -> Path | None:
    """Returns the checkpoint that a callback with a monitor chose, None if there is none.

    Of a run that is the run's own callback, whatever the user adds; of any other trainer the first `ModelCheckpoint`.
    """
    found = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    own = [callback for callback in found if isinstance(callback, RunCheckpoint)]
    for callback in own or found:
        if callback.monitor and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def weights_digest(network: torch.nn.Module) -> str:
    """Returns a hash of names, dtypes, shapes and values of all parameters and buffers of a network."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        content = tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode() + content)
    return digest.hexdigest()


def export_program(
    module: Any, checkpoint: Path | None, directory: Path, *, card: Mapping[str, Any] | None = None
) -> Path:
    """Writes the integer program of `module` with the weights of `checkpoint` and returns its folder.

    `card`, if given, stands in its manifest: what a service needs to know, see `card_of`.

    `checkpoint` None: with the weights that `module` has now. `module` stays as it is. Programs of equal weights are
    equal byte by byte, wherever their runs lie.

    Raises:
        NoProgramError: if the network cannot be lowered: a site is in FP32 or never saw data, or a layer has no
            `lower`.
    """
    path, part = quantized_part(module)
    network = copy.deepcopy(part)
    scheme = getattr(network, "scheme", None) or module.scheme
    manifest: dict[str, Any] = {
        "scheme": scheme.name,
        "bits": scheme.bits,
        "architecture": getattr(network, "kind", type(network).__name__),
    }
    if checkpoint is not None:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        prefix = f"{path}."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    manifest["weights_sha256"] = weights_digest(network)
    manifest |= card or {}
    return save_program(lowered(network.cpu().eval(), manifest), directory)


def lowered(network: Any, manifest: dict[str, Any]) -> IntegerProgram:
    """Returns the integer program of a network.

    Raises:
        NoProgramError: if it cannot be lowered.
    """
    try:
        program: IntegerProgram = network.lower(manifest)
    except AttributeError as problem:
        if problem.name != "lower":
            raise
        raise NoProgramError(f"{type(problem.obj).__name__} has no method `lower`") from problem
    except NotImplementedError as problem:
        raise NoProgramError(f"{type(network).__name__}: `lower` is not implemented") from problem
    except ValueError as problem:
        raise NoProgramError(str(problem)) from problem
    return program
