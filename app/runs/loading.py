"""Loads trained runs from their folders."""

from __future__ import annotations

from pathlib import Path

from app.cli.words import as_words
from app.config.checkpoints import load_weights
from app.config.lightning_cli import CellCLI
from app.errors import UserError
from app.runs.run_folder import Run

TRAINER = {"accelerator": "auto", "devices": 1, "num_nodes": 1, "strategy": "auto", "logger": False, "callbacks": None}
"""Settings with which a trained run is built: wherever it was trained, one process of this machine can use it."""


def load_run(run: Run, *overrides: str) -> CellCLI:
    """Builds a trained run, with its best weights and its model in evaluation mode.

    Raises:
        UserError: if the folder holds no trained run, or a damaged one, or the overrides make another model.
    """
    built = rebuild(run, *overrides)
    load_weights(built.model, run.best_checkpoint)
    built.model.eval()
    return built


def rebuild(run: Run, *overrides: str) -> CellCLI:
    """Builds a trained run from its configuration and `overrides`, without loading weights.

    Raises:
        UserError: if the folder holds no trained run, or a damaged one.
    """
    if not is_trained(run):
        near = nearest_trained(run.directory)
        hint = f"did you mean {near.directory}?" if near else "train it with `train.py fit`"
        raise UserError(f"{run.directory}: no trained run here; {hint}")
    run.read_config()  # whether it is one
    words = as_words({f"trainer.{name}": value for name, value in TRAINER.items()})
    return CellCLI(["--config", str(run.config), *words, *overrides], run.directory)


def is_trained(run: Run) -> bool:
    """Whether a folder is that of a trained run."""
    return run.config.is_file() and run.best_checkpoint.is_file()


def nearest_trained(folder: Path) -> Run | None:
    """Returns the first trained run in a folder of runs (of a cell, a data set, or all), or around a folder."""
    levels = (folder.glob("*/" * depth + "seed=*") for depth in range(4))
    inside = (Run(path) for level in levels for path in sorted(level))
    around = (Run(path) for path in folder.parents[:2])
    return next((run for runs in (inside, around) for run in runs if is_trained(run)), None)
