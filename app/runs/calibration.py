"""Post-training quantization: takes ranges from the training data and leaves the weights as they are."""

from __future__ import annotations

import torch

from app.config.lightning_cli import CellCLI
from app.runs.run_folder import Run
from callbacks.export_int8 import export_program
from models.quantization.control import calibrate


def calibrate_run(built: CellCLI, run: Run) -> None:
    """Calibrates the ranges of a model on the training data, run as in evaluation; saves checkpoint and program."""
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
