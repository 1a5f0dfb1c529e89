"""Trains (or calibrates) one run, evaluates its best epoch and writes its result."""

from __future__ import annotations

import json
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from app.config.checkpoints import read_checkpoint
from app.config.lightning_cli import CellCLI
from app.config.settings import leaves
from app.config.suggestions import complaints_in_one_line
from app.engine.files import write_atomically
from app.runs.calibration import calibrate_run
from app.runs.degrees import error_by_degree
from app.runs.exactness import compare
from app.runs.experiment import Experiment
from app.runs.provenance import revision, versions
from app.runs.run_folder import Run
from datamodules import GraphDataModule


def train(experiment: Experiment, built: CellCLI, run: Run) -> dict[str, Any]:
    """Trains a run from its last checkpoint on, or calibrates it, and returns its result; empty on ranks but the first.

    Raises:
        UserError: for a damaged checkpoint, or settings that Lightning refuses while it trains.
        KeyboardInterrupt: if training was interrupted; the last finished epoch is kept.
    """
    trainer, task, data = built.trainer, built.model, built.datamodule
    resume = run.last_checkpoint if run.last_checkpoint.exists() else None
    if resume:
        read_checkpoint(run.best_checkpoint)  # needed at the end: better refused before training
    started = time.perf_counter()
    if trainer.max_epochs == 0:
        calibrate_run(built, run)
    else:
        with complaints_in_one_line():
            trainer.fit(task, data, ckpt_path=str(resume) if resume else None, weights_only=True)
    trained = time.perf_counter()
    if trainer.interrupted:
        raise KeyboardInterrupt
    best = str(run.best_checkpoint)
    metrics: dict[str, float] = {}
    for evaluate in (trainer.validate, trainer.test):
        (values,) = evaluate(task, data, ckpt_path=best, verbose=False, weights_only=True)
        metrics |= values
    if not trainer.is_global_zero:
        return {}
    tested = time.perf_counter()
    exactness = compare(task, data, run.program) if task.scheme.quantizes else None
    epoch = read_checkpoint(run.best_checkpoint)["epoch"]
    result = {
        "cell": experiment.name,
        "seed": experiment.seed,
        "metrics": metrics,
        "epoch": epoch,
        "epochs": trainer.current_epoch,
        "exactness": exactness,
        "bits": task.scheme.bits,
        "data": describe(data),
        "error_by_degree": error_by_degree(task, data),
        "durations": {"fit": trained - started, "evaluate": tested - trained, "resumed": resume is not None},
        "versions": versions(),
        "revision": revision(),
        "config": str(run.config.name),
    }
    log_hyperparameters(trainer, run, experiment, metrics)
    write_atomically(run.result, json.dumps(result, indent=2) + "\n")
    return result


def describe(data: GraphDataModule) -> dict[str, str]:
    """Which data it was, and what of it is not the published original."""
    return {"name": data.name, "substitute": data.substitute}


def log_hyperparameters(trainer: pl.Trainer, run: Run, experiment: Experiment, metrics: dict[str, float]) -> None:
    """The settings of the model and the final metrics, for TensorBoard's table of runs."""
    if isinstance(trainer.logger, TensorBoardLogger):
        settings = dict(leaves(run.read_config()["model"]["init_args"]))
        final = {f"final/{name}": value for name, value in metrics.items()}
        trainer.logger.log_hyperparams({"cell": experiment.name, "seed": experiment.seed, **settings}, final)
        trainer.logger.finalize("success")
