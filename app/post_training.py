"""Runs that begin with the weights of another, and those that only calibrate them."""

from __future__ import annotations

from pathlib import Path

import torch

from app.cli import UserError
from app.lightning_cli import CellCLI, read_checkpoint
from app.runs import Run
from callbacks.export_int8 import export_program
from models.layers.norm import learned_state
from models.quantization.control import calibrate
from models.tasks import GraphTask


def load_network(task: GraphTask, source: str) -> None:
    """Starts a task from what another run has learned (ranges stay unseen), and its teacher, where it has one.

    Raises:
        UserError: if there is no checkpoint, or it is of another network.
    """
    path = Path(source)
    path = Run(path).best_checkpoint if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"--init-from {source}: no checkpoint at {path}; name a run, a checkpoint or a scheme")
    state = read_checkpoint(path)["state_dict"]
    parts = [learned_state(task.network)]
    if task.teacher is not None:
        parts.append(task.teacher.network.state_dict())
        task.teacher.known.fill_(True)
    for name, value in (item for part in parts for item in part.items()):
        learned = state.get(f"network.{name}")
        if learned is None or learned.shape != value.shape:
            raise UserError(f"--init-from {source}: its network has no network.{name} of shape {tuple(value.shape)}")
        value.copy_(learned)


def calibrate_run(built: CellCLI, run: Run) -> None:
    """Post-training quantization: ranges from the training data, through the network as evaluation runs it."""
    trainer, task, data = built.trainer, built.model, built.datamodule
    data.prepare_data()
    data.setup("fit")

    def forward() -> None:
        with torch.no_grad():
            for batch in data.train_dataloader():
                task(batch)

    calibrate(task, forward)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(run.best_checkpoint, weights_only=True)
    if task.scheme.quantizes and trainer.is_global_zero:
        export_program(task, run.best_checkpoint, run.program)
