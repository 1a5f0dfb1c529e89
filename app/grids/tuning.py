"""Runs `tune`: searches the hyper-parameters of a cell with Optuna, on the validation split alone."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytorch_lightning as pl
import yaml

from app.cli.console import standard_output
from app.cli.output import output_file
from app.cli.words import as_words, parse
from app.config.cells import select
from app.config.lightning_cli import CellCLI
from app.config.settings import computing_settings, is_free, value_of
from app.config.suggestions import errors_in_one_line
from app.engine.files import write_atomically
from app.errors import UserError
from app.grids.progress import told
from app.grids.runners import Spread, runner_of
from app.grids.search_space import Choice, Parameter, as_settings, defaults, read_space, search_space
from app.runs.completion import check_possible, initialize
from app.runs.experiment import Experiment, experiments
from app.runs.provenance import digest
from callbacks import ExportInt8, RangeMonitor
from callbacks.run_checkpoint import RunCheckpoint
from callbacks.run_log import logs_ended

try:
    import optuna
    from optuna.trial import TrialState
except ImportError:
    raise UserError("tune needs Optuna: python -m pip install -e '.[tune]'") from None
from app.grids.studies import check_settings_of_study, open_study, opened, workers_of
from app.grids.trials import News, is_tried, optimize

VARIANT = "tuned"
"""The variant under which the best settings enter a table."""


def tune(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: continues the study until it has all its trials, and writes the best settings.

    A study belongs to a cell, its seeds and its overrides, and to what the files of the cell said when it began. The
    same command in several processes, on one storage, works on one study.
    """
    cells = [cell for pattern in options.cell for cell in select(pattern)]
    if len(cells) != 1:
        raise UserError(f"--cell: expected one cell, got {len(cells)}: each is tuned on its own")
    output = output_file(options.output)
    output_file(options.storage, "--storage")  # refuses a folder before the work, not after it
    runs = experiments(options, overrides)
    built = runs[0].build(Path(options.runs_root))
    check_tunable(built)
    metric, mode = built.model.monitor
    settings = yaml.safe_load(built.resolved())
    space = read_space(Path(options.space), settings) if options.space else search_space(settings)
    check_settable(runs[0], space, Path(options.runs_root))
    fixed = fixed_settings(overrides)
    check_fixed(fixed, space)
    searched = [f"{parameter.key} {parameter.range}" for parameter in space] if options.space else []
    changes = [f"{key}={value}" for key, value in fixed.items()]
    name = " ".join([str(cells[0]), f"seeds {options.seed}", *changes, *searched])
    search = Search(options.storage, name, mode, space, runs, options.trials)
    runner = runner_of(options, shared=workers_of(options.storage))
    with opened(options.storage) as storage:
        study = open_study(storage, name, mode)
        with storage.exclusive():
            check_settings_of_study(study, computing_settings(settings), options.storage)
        with told(News(study), standard_output()):
            runner.run(search.begin)
        tried = sum(map(is_tried, study.trials))
        if not any(trial.state is TrialState.COMPLETE for trial in study.trials):
            raise UserError(f"none of {tried} trials came to a value: all diverged")
        best = study.best_value
        entry = {
            "cells": str(cells[0]),
            "variant": VARIANT,
            "overrides": {key: value_of(value) for key, value in fixed.items()} | as_settings(study.best_params),
            "study": describe_study(study, space, options.seed),
        }
    write_atomically(output, yaml.safe_dump(entry, sort_keys=False))
    standard_output().print(
        f"best validation {metric} {best:.4f} of {tried} trials; {output}", highlight=False, soft_wrap=True
    )
    return 0


def check_settable(experiment: Experiment, space: Sequence[Parameter | Choice], root: Path) -> None:
    """Checks that the names of a search space are settings, which take the ends of its ranges and what its lists hold.

    Raises:
        UserError: naming the one that is not.
    """
    first = {parameter.key: parameter.first for parameter in space}
    others = [first | {each.key: value} for each in space for value in each.range if value != each.first]
    for point in (first, *others):
        replace(experiment, overrides=(*experiment.overrides, *as_words(as_settings(point)))).build(root)


def check_fixed(fixed: Mapping[str, str], space: Sequence[Parameter | Choice]) -> None:
    """Raises UserError if a value of the command line is out of the range in which its setting is searched.

    Any other value is that of the first trial.
    """
    for parameter in space:
        if parameter.key in fixed and not parameter.holds(parameter.default):
            low_and_high = f"{parameter.range[0]} to {parameter.range[-1]}"
            raise UserError(
                f"{parameter.key}: is searched from {low_and_high}, so that {fixed[parameter.key]} has no effect: "
                "leave it out, or name other ranges with --space"
            )


def check_tunable(built: CellCLI) -> None:
    """Checks, before the first trial, what would keep it from a value.

    Raises:
        ValueError: naming the setting that cannot work.
    """
    if built.trainer.max_epochs == 0:
        raise UserError("trainer.max_epochs is 0: nothing is trained, so there is nothing to tune")
    check_possible(built)


@dataclass(frozen=True)
class Search:
    """What a process needs to work on a study.

    Attributes:
        storage: journal file or URL of a database.
        name, mode: of the study; the mode is `max` or `min`, whichever is better.
        space: what is searched.
        runs: the experiments whose mean is a trial's value.
        trials: of the study.
    """

    storage: str
    name: str
    mode: str
    space: Sequence[Parameter | Choice]
    runs: Sequence[Experiment]
    trials: int

    def begin(self, spread: Spread) -> None:
        """Lets processes work on the study until it has all its trials: whoever is ready first has seen that."""
        for _ in spread(self.work, [f"process {number + 1} of the study" for number in range(self.trials)]):
            return

    def work(self, _process: str) -> None:
        """Runs trials until the study has all of them."""
        with opened(self.storage) as storage:
            study = open_study(storage, self.name, self.mode)

            def value(trial: Any) -> float:
                return objective(trial, self.space, self.runs, storage.folder)

            optimize(study, storage, value, own=defaults(self.space), trials=self.trials)


def objective(trial: Any, space: Sequence[Parameter | Choice], experiments: Sequence[Experiment], root: Path) -> float:
    """Returns the mean over the seeds of the best validation metric; the test split is not looked at.

    Args:
        root: a folder for the trials. A run that `init_from` names by scheme is trained there once, for all trials of
            a network.
    """
    words = as_words(as_settings({parameter.key: parameter.suggest(trial) for parameter in space}))
    values: list[float] = []
    for experiment in experiments:
        varied = replace(experiment, overrides=(*experiment.overrides, *words))
        values.append(best_validation(varied, root, Pruning(trial, values)))
    return mean(values)


def best_validation(experiment: Experiment, root: Path, pruning: Pruning) -> float:
    """Trains an experiment in a folder below `root`; returns the metric that chooses its epoch, at the chosen epoch."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        built = experiment.quiet().build(Path(folder))
        useful = [c for c in built.trainer.callbacks if not isinstance(c, (ExportInt8, RangeMonitor))]  # type: ignore[attr-defined]
        built.trainer.callbacks = [pruning, *useful]  # type: ignore[attr-defined]
        starts = root / digest(experiment.words_of_network())[:8]  # a search may change the network
        initialize(experiment, built, experiment.run_in(starts), yaml.safe_load(built.resolved()))
        with logs_ended(built.trainer):
            return train_and_score(built)


def train_and_score(built: CellCLI) -> float:
    """Trains; returns the best value of the metric that the checkpoint callback monitors."""
    with errors_in_one_line():
        built.trainer.fit(built.model, built.datamodule)
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
        if metric not in trainer.callback_metrics:  # no validation until now
            return
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
    return {key: value for key, value in settings.items() if not is_free(key)}
