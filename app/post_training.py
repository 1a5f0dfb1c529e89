"""Runs that begin with the weights of another, and those that only calibrate them."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch

from app.cli import UserError
from app.lightning_cli import CellCLI, read_checkpoint
from app.runs import Run
from callbacks.export_int8 import export_program
from models.layers.norm import learned_state
from models.quantization.control import calibrate


def load_network(task: pl.LightningModule, source: str) -> None:
    """Starts a task from what another run has learned (ranges stay unseen).

    Raises:
        UserError: if there is no checkpoint, or it is of another network.
    """
    path = Path(source)
    path = Run(path).best_checkpoint if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"--init-from {source}: no checkpoint at {path}; name a run, a checkpoint or a scheme")
    state = read_checkpoint(path)["state_dict"]
    for name, value in learned_state(task).items():
        if name not in state or state[name].shape != value.shape:
            raise UserError(f"--init-from {source}: its network has no {name} of shape {tuple(value.shape)}")
        value.copy_(state[name])


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
