"""Trains (or calibrates) one run, evaluates its best epoch and writes its result."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from app.config.checkpoints import load_weights, read_checkpoint
from app.config.lightning_cli import CellCLI
from app.config.machine import what_is_less_exact, what_was_chosen
from app.config.settings import leaves
from app.config.suggestions import errors_in_one_line
from app.engine.program.io import read_program, save_program
from app.errors import UserError
from app.runs.exactness import compare
from app.runs.experiment import Experiment
from app.runs.predictions.degrees import error_by_degree
from app.runs.provenance import revision, versions
from app.runs.result import Durations, Result, identity
from app.runs.run_folder import Run
from callbacks.export_int8 import ExportInt8, wants_program
from callbacks.run_log import RunLog
from models.quantization.control import calibrate
from models.quantization.sites import bit_widths
from models.tasks import on_device
from models.tasks.base import TRAINED_ON


def train(experiment: Experiment, built: CellCLI, run: Run) -> Result | None:
    """Trains a run after its last checkpoint, or calibrates it; evaluates it and writes its result.

    Returns:
        The result; None in all processes but the first of those that train together.

    Raises:
        UserError: for a checkpoint that is damaged or does not fit, or settings that Lightning refuses while it trains.
        KeyboardInterrupt: if training was interrupted; the last finished epoch is kept.
    """
    resumed = run.last_checkpoint.exists()
    started = time.perf_counter()
    fit_or_calibrate(built, run)
    fitted = time.perf_counter()
    metrics = evaluate_best(built, run)
    evaluated = time.perf_counter()
    if not built.trainer.is_global_zero:
        return None
    if wants_program(built.model) and why_no_program(built) is None:
        complete_card(run.program, metrics)
    durations = Durations(fit=fitted - started, evaluate=evaluated - fitted, resumed=resumed)
    result = collect_result(experiment, built, run, metrics=metrics, durations=durations)
    log_hyperparameters(experiment, built, run, metrics)
    run.write_result(result)
    return result


def fit_or_calibrate(built: CellCLI, run: Run) -> None:
    """Trains the model after the run's last checkpoint, or calibrates its ranges where no epoch is to be trained.

    Raises:
        UserError: for a checkpoint that is damaged or does not fit, or settings that Lightning refuses while it trains.
        KeyboardInterrupt: if training was interrupted.
    """
    trainer = built.trainer
    checkpoint = str(run.last_checkpoint) if run.last_checkpoint.exists() else None
    if checkpoint:
        check_chosen(built, run)
        load_weights(built.model, run.best_checkpoint)  # needed at the end: better refused before training
        tell_other_device(run, load_weights(built.model, run.last_checkpoint), trainer.strategy.root_device)
    for exporter in exporters(built):
        exporter.warns = False  # the line about the finished run tells it
    say(what_was_chosen(built.config["trainer"]["accelerator"], trainer.strategy.root_device))
    say(what_is_less_exact(trainer.strategy.root_device))
    if trainer.max_epochs == 0:
        calibrate_ranges(built, run)
    else:
        with errors_in_one_line():
            trainer.fit(built.model, built.datamodule, ckpt_path=checkpoint, weights_only=True)
        check_chosen(built, run)


def check_chosen(built: CellCLI, run: Run) -> None:
    """Raises UserError if training came to its last step or its time was over before the first validation."""
    settings = built.config["trainer"]
    ends = [
        f"trainer.{name} {settings[name]}" for name in ("max_steps", "max_time") if settings[name] not in (None, -1)
    ]
    if ends and not run.best_checkpoint.exists():
        raise UserError(
            f"{' and '.join(ends)}: ends before the first validation, by which an epoch is chosen; give more"
        )


def tell_other_device(run: Run, checkpoint: Mapping[str, Any], device: torch.device) -> None:
    """Says on standard error that a run goes on where it was not begun: floats are not added up alike there."""
    begun = checkpoint.get(TRAINED_ON)
    if begun and begun[-1] != device.type:
        say(
            f"{run.directory}: begun on {begun[-1]}, continued on {device.type}: "
            "it will not end with the bits of a run on one of them; --overwrite begins again"
        )


@cache
def say(sentence: str) -> None:
    """Prints a sentence on standard error, once in a process and on the first process only; nothing if it is empty."""
    if sentence:
        rank_zero_only(print)(sentence, file=sys.stderr)


def calibrate_ranges(built: CellCLI, run: Run) -> None:
    """Calibrates the ranges of a model on the training data, run as in evaluation; saves checkpoint and program."""
    trainer, task, data = built.trainer, built.model, built.datamodule
    data.prepare_data()
    data.setup("fit")

    def forward() -> None:
        with torch.no_grad():
            for batch in data.train_dataloader():
                task(on_device(batch, task.device))

    calibrate(task.to(trainer.strategy.root_device), forward)
    trainer.datamodule = data  # type: ignore[attr-defined]  # as in training: its scaling goes into the program
    trainer.strategy.connect(task)
    trainer.save_checkpoint(run.best_checkpoint, weights_only=True)
    for exporter in exporters(built):
        exporter.export(trainer, task, run.best_checkpoint, run.program)


def evaluate_best(built: CellCLI, run: Run) -> dict[str, float]:
    """Returns validation and test metrics of the best checkpoint.

    They are not logged here, where they would be points of the curves of training; `log_hyperparameters` does.
    """
    metrics: dict[str, float] = {}
    loggers, built.trainer.loggers = built.trainer.loggers, []
    for evaluate in (built.trainer.validate, built.trainer.test):
        with errors_in_one_line():
            (values,) = evaluate(
                built.model, built.datamodule, ckpt_path=str(run.best_checkpoint), verbose=False, weights_only=True
            )
        metrics |= values
    built.trainer.loggers = loggers
    return metrics


def complete_card(directory: Path, metrics: Mapping[str, float]) -> None:
    """Adds to the manifest of a program what is known only once the run was evaluated."""
    program = read_program(directory)
    save_program(replace(program, manifest={**program.manifest, "versions": versions(), "metrics": metrics}), directory)


def collect_result(
    experiment: Experiment, built: CellCLI, run: Run, *, metrics: dict[str, float], durations: Durations
) -> Result:
    """Compares the integer program with the trained model, and returns that with all else that a result holds."""
    task, data = built.model, built.datamodule
    reason = why_no_program(built)
    compared = wants_program(task) and reason is None
    checkpoint = read_checkpoint(run.best_checkpoint)
    return {
        "cell": experiment.name,
        "seed": experiment.seed,
        "metrics": metrics,
        "metric": built.model.metric_names[0],
        "chosen_epoch": min(checkpoint["epoch"] + 1, built.trainer.current_epoch),
        "epochs": built.trainer.current_epoch,
        "exactness": compare(task, data, run.program) if compared else None,
        "no_program": reason,
        "bits": task.scheme.bits,
        "bit_widths": bit_widths(task.network),
        "data": {
            "name": data.name,
            "substitute": data.substitute,
            "fingerprint": identity(run.read_fingerprint()),
            "remarks": list(data.remarks),
        },
        "error_by_degree": error_by_degree(task, data),
        "durations": durations,
        "start": run.read_start(),
        "trained_on": checkpoint.get(TRAINED_ON, []),
        "versions": versions(),
        "revision": revision(),
        "config": run.config.name,
    }


def exporters(built: CellCLI) -> list[ExportInt8]:
    """Returns the callbacks of the trainer that export the program."""
    callbacks: list[Callback] = built.trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, ExportInt8)]


def why_no_program(built: CellCLI) -> str | None:
    """Returns why a quantized model was not exported; None if it was, or is in FP32."""
    if not wants_program(built.model):
        return None
    if not built.exports:
        return "export is false"
    if not exporters(built):
        return "trainer.callbacks has no callbacks.ExportInt8"
    return exporters(built)[0].reason


def log_hyperparameters(experiment: Experiment, built: CellCLI, run: Run, metrics: Mapping[str, float]) -> None:
    """Writes the settings of the model and the final metrics to the logs, in TensorBoard for its table of runs."""
    model = leaves(run.read_config()["model"]["init_args"])
    named = {key.replace(".init_args", "").replace(".class_path", ""): value for key, value in model}
    settings = {"cell": experiment.name, "seed": experiment.seed, **named}
    final = {f"final/{name}": value for name, value in metrics.items()}
    for logger in built.trainer.loggers:
        if isinstance(logger, RunLog):
            logger.log_hyperparams(settings, final, step=built.trainer.global_step)
            logger.close()
        else:
            logger.log_hyperparams(settings)
            logger.log_metrics(final, built.trainer.global_step)
            logger.finalize("success")
