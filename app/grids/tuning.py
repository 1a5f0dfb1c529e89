"""Runs `tune`: searches the hyper-parameters of a cell with Optuna, on the validation split alone."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytorch_lightning as pl
import torch
import yaml

from app.cli.console import standard_output
from app.cli.output import output_file
from app.cli.words import as_words, parse
from app.config.cells import select
from app.config.lightning_cli import CellCLI
from app.config.settings import FREE_KEYS, value_of
from app.engine.files import write_atomically
from app.errors import UserError
from app.grids.search_space import Choice, Parameter, as_settings, defaults, read_space, search_space
from app.runs.completion import check_possible, initialize
from app.runs.experiment import Experiment, experiments
from callbacks import ExportInt8, RangeMonitor
from callbacks.divergence import DivergedError
from callbacks.run_checkpoint import RunCheckpoint
from callbacks.run_log import logs_ended

try:
    import optuna
    from optuna.trial import TrialState
except ImportError:
    raise UserError("tune needs Optuna: python -m pip install -e '.[tune]'") from None
from app.grids.studies import WORKER, Storage, open_study, opened

VARIANT = "tuned"
"""The variant under which the best settings enter a table."""

DIVERGED = "diverged"
"""The attribute of a trial that failed by itself, and not because its process was ended."""


def tune(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: continues the study until it has all its trials, and writes the best settings.

    A study belongs to a cell, its seeds and its overrides. The same command in several processes, on one storage, works
    on one study.
    """
    torch.set_num_threads(options.threads)
    cells = [cell for pattern in options.cell for cell in select(pattern)]
    if len(cells) != 1:
        raise UserError(f"--cell: expected one cell, got {len(cells)}: each is tuned on its own")
    output = output_file(options.output)
    runs = experiments(options, overrides)
    built = runs[0].build(Path(options.runs_root))
    check_tunable(built)
    metric, mode = built.model.monitor
    settings = yaml.safe_load(built.resolved())
    space = read_space(Path(options.space), settings) if options.space else search_space(settings)
    check_settable(runs[0], space, Path(options.runs_root))
    fixed = fixed_settings(overrides)
    searched = [f"{parameter.key} {parameter.range}" for parameter in space] if options.space else []
    changes = [f"{key}={value}" for key, value in fixed.items()]
    name = " ".join([str(cells[0]), f"seeds {options.seed}", *changes, *searched])
    with opened(options.storage) as storage:
        study = open_study(storage, name, mode)

        def run(trial: Any) -> float:
            trial.set_user_attr(WORKER, storage.folder.name)
            return objective(trial, space, runs, storage.folder)

        optimize(study, storage, run, own=defaults(space), trials=options.trials)
    tried = sum(map(is_tried, study.get_trials(deepcopy=False)))
    if not any(trial.state is TrialState.COMPLETE for trial in study.get_trials(deepcopy=False)):
        raise UserError(f"none of {tried} trials came to a value: all diverged")
    entry = {
        "cells": str(cells[0]),
        "variant": VARIANT,
        "overrides": {key: value_of(value) for key, value in fixed.items()} | as_settings(study.best_params),
        "study": describe_study(study, space, options.seed),
    }
    write_atomically(output, yaml.safe_dump(entry, sort_keys=False))
    standard_output().print(
        f"best validation {metric} {study.best_value:.4f} of {tried} trials; {output}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def check_settable(experiment: Experiment, space: Sequence[Parameter | Choice], root: Path) -> None:
    """Checks that the names of a search space are settings, which take such values.

    Raises:
        UserError: naming the one that is not.
    """
    point = {parameter.key: parameter.first for parameter in space}
    replace(experiment, overrides=(*experiment.overrides, *as_words(as_settings(point)))).build(root)


def check_tunable(built: CellCLI) -> None:
    """Checks, before the first trial, what would keep it from a value.

    Raises:
        ValueError: naming the setting that cannot work.
    """
    if built.trainer.max_epochs == 0:
        raise UserError("trainer.max_epochs is 0: nothing is trained, so there is nothing to tune")
    check_possible(built)


def optimize(
    study: Any, storage: Storage, objective: Callable[[Any], float], *, own: Mapping[str, float], trials: int
) -> None:
    """Runs trials until that many were tried, those of other processes included; prints each as it ends.

    Trials whose process was killed do not count, and are ended.

    Args:
        own: the cell's own settings, which are tried first.
    """
    while True:
        with storage.exclusive():
            storage.end_abandoned(study)
            known = study.get_trials(deepcopy=False)
            if sum(map(is_tried, known)) >= trials:
                return
            current = [trial for trial in known if is_tried(trial) or not trial.state.is_finished()]
            if not any(trial.system_attrs.get("fixed_params") == own for trial in current):
                study.enqueue_trial(own)
        study.optimize(objective, n_trials=1, catch=(DivergedError,), callbacks=[print_trial])


def print_trial(study: Any, trial: Any) -> None:
    """Prints how a trial ended, with its settings and the best value so far."""
    complete = trial.state is TrialState.COMPLETE
    end = f"{trial.value:.4f}" if complete else DIVERGED if DIVERGED in trial.user_attrs else trial.state.name.lower()
    settings = "  ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in as_settings(trial.params).items()
    )
    done = [other for other in study.get_trials(deepcopy=False) if other.state is TrialState.COMPLETE]
    best = f"best {study.best_value:.4f} of trial {study.best_trial.number + 1}" if done else "no value yet"
    print(f"trial {trial.number + 1}: {end}  ({best})  {settings}", flush=True)


def is_tried(trial: Any) -> bool:
    """Whether a trial ended by itself: with a value, pruned, or because it diverged."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or DIVERGED in trial.user_attrs


def objective(trial: Any, space: Sequence[Parameter | Choice], experiments: Sequence[Experiment], root: Path) -> float:
    """Returns the mean over the seeds of the best validation metric; the test split is not looked at.

    Args:
        root: a folder for the trials. A run that `init_from` names by scheme is trained there once, for all trials.
    """
    words = as_words(as_settings({parameter.key: parameter.suggest(trial) for parameter in space}))
    values: list[float] = []
    for experiment in experiments:
        varied = replace(experiment, overrides=(*experiment.overrides, *words))
        try:
            values.append(best_validation(varied, root, Pruning(trial, values)))
        except DivergedError:
            trial.set_user_attr(DIVERGED, value=True)
            raise
    return mean(values)


def best_validation(experiment: Experiment, root: Path, pruning: Pruning) -> float:
    """Trains an experiment in a folder below `root`; returns the metric that chooses its epoch, at the chosen epoch."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        built = experiment.quiet().build(Path(folder))
        useful = [c for c in built.trainer.callbacks if not isinstance(c, (ExportInt8, RangeMonitor))]  # type: ignore[attr-defined]
        built.trainer.callbacks = [pruning, *useful]  # type: ignore[attr-defined]
        initialize(experiment, built, experiment.run_in(root), yaml.safe_load(built.resolved()))
        with logs_ended(built.trainer):
            return train_and_score(built)


def train_and_score(built: CellCLI) -> float:
    """Trains; returns the best value of the metric that the checkpoint callback monitors."""
    built.trainer.fit(built.model, built.datamodule)
    if built.trainer.interrupted:
        raise KeyboardInterrupt
    callbacks = built.trainer.callbacks  # type: ignore[attr-defined]
    (monitoring,) = (c for c in callbacks if isinstance(c, RunCheckpoint) and c.monitor)
    return float(monitoring.best_model_score)  # type: ignore[arg-type]


class Pruning(pl.Callback):
    """Prunes a trial whose mean over the seeds so far, with this one at its best epoch, is behind the other trials.

    Args:
        trial: of Optuna.
        before: the values of the seeds before this one.
    """

    def __init__(self, trial: Any, before: Sequence[float]) -> None:
        self.trial, self.before = trial, list(before)
        self.best: float | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Reports the mean to the study; raises TrialPruned if the study says so."""
        metric, mode = pl_module.monitor
        value = float(trainer.callback_metrics[metric])
        self.best = value if self.best is None else {"max": max, "min": min}[mode](self.best, value)
        step = len(self.before) * (trainer.max_epochs or 0) + trainer.current_epoch
        self.trial.report(mean([*self.before, self.best]), step)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def describe_study(study: Any, space: Sequence[Parameter | Choice], seeds: str) -> dict[str, Any]:
    """Returns how the best settings were found, for the reader of the table."""
    states = [trial.state.name.lower() for trial in study.trials]
    return {
        "validation": study.best_value,
        "seeds": seeds,
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "sampler": "Optuna TPE, started from the cell's own settings",
        "pruner": "median",
        "optuna": optuna.__version__,
        "range": {parameter.key: parameter.range for parameter in space},
    }


def fixed_settings(overrides: Sequence[str]) -> dict[str, str]:
    """Returns the overrides of the command line by name, without those that change nothing that is computed."""
    settings = {word.key: word.value or "" for word in parse(overrides)}
    return {key: value for key, value in settings.items() if key.rpartition(".")[2] not in FREE_KEYS}
