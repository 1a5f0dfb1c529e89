"""Reads and checks checkpoints, loads weights from them, and writes them atomically."""

from __future__ import annotations

import io
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from app.cli.failures import failure_of_machine
from app.engine.files import write_atomically
from app.errors import UserError
from models.layers.norm import learned_state
from models.tasks import GraphTask

TRAIN_AGAIN = "train again with `train.py fit --overwrite`"
REMEDY = f"give another one, or {TRAIN_AGAIN}"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint, on the CPU.

    Raises:
        UserError: if the file is missing, damaged or not a checkpoint of this program.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; {REMEDY}") from None
    except (RuntimeError, UnpicklingError, EOFError, OSError, KeyError, ValueError) as error:
        if failure_of_machine(error):
            raise
        raise UserError(f"{path}: not a readable checkpoint; {REMEDY}") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"{path}: not a checkpoint of this program; {REMEDY}")
    return content


def load_weights(model: GraphTask, path: Path) -> dict[str, Any]:
    """Loads the weights and ranges of a checkpoint into a model; returns all that it holds.

    Raises:
        UserError: if the file is not a checkpoint of such a model.
    """
    content = read_checkpoint(path)
    try:
        model.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"{path}: is of another model than the settings describe, or of an older version of it: "
            f"{first_difference(error)}; {TRAIN_AGAIN}"
        ) from error
    return content


def first_difference(error: RuntimeError) -> str:
    """Returns the first difference that torch lists when a state does not fit, with the first name of a list."""
    _, _, differences = str(error).partition(":")
    first, cut, _ = differences.strip().splitlines()[0].partition('", ')
    return f'{first.strip()}"' if cut else first.strip().removesuffix(".")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically: a kill leaves the old one or the new one."""

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads a checkpoint onto the CPU; see `read_checkpoint` for what it raises."""
        return read_checkpoint(Path(path))

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint. Like Lightning's own writer, it holds the encoded checkpoint in memory meanwhile."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())


def load_initial_weights(task: GraphTask, path: Path, source: str) -> None:
    """Copies the learned parameters of a checkpoint into a new task and into its teacher; ranges stay unknown.

    Args:
        source: how the user named the checkpoint, for messages.

    Raises:
        UserError: if there is no checkpoint, or it is of another network.
    """
    if not path.is_file():
        raise UserError(f"--init-from {source}: no checkpoint at {path}; name a run, a checkpoint or a scheme")
    state = read_checkpoint(path)["state_dict"]
    parts = [learned_state(task.network)]
    if task.teacher is not None:
        parts.append(task.teacher.network.state_dict())
        task.teacher.known.fill_(value=True)
    for name, value in (item for part in parts for item in part.items()):
        learned = state.get(f"network.{name}")
        if learned is None or learned.shape != value.shape:
            raise UserError(f"--init-from {source}: its network has no network.{name} of shape {tuple(value.shape)}")
        value.copy_(learned)
