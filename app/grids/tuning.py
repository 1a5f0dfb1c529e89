"""`tune`: searches the hyper-parameters of a cell with Optuna, on the validation split alone."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ModelCheckpoint

from app.cli.console import standard_output
from app.cli.output import output_file
from app.config.cells import select
from app.config.grids import override_words
from app.config.settings import FREE_KEYS
from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.completion import check_devices, initialise
from app.runs.experiment import Experiment, experiments
from callbacks import ExportInt8, RangeMonitor
from callbacks.divergence import DivergedError
from models.quantization.qconfig import percentile_for

try:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection
except ImportError:
    raise UserError("tune needs Optuna: python -m pip install -e '.[tune]'") from None

VARIANT = "tuned"
QUIET_TRIAL = ("--trainer.enable_progress_bar=false",)


@dataclass(frozen=True)
class Parameter:
    """A hyper-parameter: its setting, its range, whether its logarithm is searched, and the cell's own value."""

    key: str
    low: float
    high: float
    log: bool
    default: float | None

    def suggest(self, trial: Any) -> float:
        """A value for a trial."""
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)


def tune(options: argparse.Namespace, overrides: list[str]) -> int:
    """The command. The same command in several processes, on one storage, works on one study: that of a cell, its
    seeds and its overrides.
    """
    torch.set_num_threads(options.threads)
    cells = [cell for pattern in options.cell for cell in select(pattern)]
    if len(cells) != 1:
        raise UserError(f"--cell: expected one cell, got {len(cells)}: each is tuned on its own")
    output = output_file(options.output)
    runs = experiments(options, overrides)
    with tempfile.TemporaryDirectory() as folder:
        built = runs[0].build(Path(folder))
        check_devices(built)
        space = search_space(yaml.safe_load(built.resolved()))
        fixed = fixed_settings(overrides)
        name = " ".join([str(cells[0]), f"seeds {options.seed}", *(f"{key}={value}" for key, value in fixed.items())])
        study = open_study(options.storage, name, built.model.monitor[1])
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(defaults(space), skip_if_exists=True)
        finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)
        stop = optuna.study.MaxTrialsCallback(options.trials, states=finished)
        if len(study.get_trials(deepcopy=False, states=finished)) < options.trials:
            study.optimize(
                lambda trial: objective(trial, space, runs, Path(folder)), callbacks=[stop], catch=(DivergedError,)
            )
    write_atomically(output, yaml.safe_dump(entry(study, str(cells[0]), space, options.seed, fixed), sort_keys=False))
    standard_output().print(
        f"best validation {built.model.monitor[0]} {study.best_value:.4f} of {len(study.trials)} trials; {output}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def open_study(storage: str, name: str, mode: str) -> Any:
    """The study called `name`, begun or continued.

    Args:
        storage: a journal file, or the URL of a database.
        mode: "max" or "min", whichever is better.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend: Any = storage
    if "://" not in storage:
        Path(storage).absolute().parent.mkdir(parents=True, exist_ok=True)
        backend = JournalStorage(JournalFileBackend(storage))
    return optuna.create_study(
        storage=backend,
        study_name=name,
        direction={"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}[mode],
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=20),
    )


def search_space(settings: Mapping[str, Any]) -> list[Parameter]:
    """The parameters that mean something for a cell, each with its range.

    p_max is searched as p_min plus a width, so that every draw is a pair.
    """
    model = settings["model"]["init_args"]
    network, scheme = model["architecture"]["init_args"], model["scheme"]
    space = [
        Parameter("model.lr", 1e-4, 5e-2, True, model["lr"]),
        Parameter("model.weight_decay", 1e-6, 1e-2, True, model["weight_decay"]),
    ]
    if "dropout" in network:
        space.append(Parameter("model.architecture.dropout", 0.0, 0.8, False, network["dropout"]))
    if scheme["bits"] == 32:
        return space
    if protection := scheme.get("protection"):
        low, high = protection["p_min"], protection["p_max"]
        space.append(Parameter("model.scheme.protection.p_min", 0.0, 0.3, False, low))
        space.append(Parameter("model.scheme.protection.width", 0.0, 0.3, False, high - low))
    observer = scheme["observer"]
    if observer["statistic"] == "percentile":
        own = observer["percentile"]
        own = percentile_for(scheme["bits"]) if own is None else own
        space.append(Parameter("model.scheme.observer.percentile", 0.01, 5.0, True, own))
    if observer["accumulation"] == "momentum":
        space.append(Parameter("model.scheme.observer.momentum", 1e-3, 0.5, True, observer["momentum"]))
    return space


def defaults(space: Sequence[Parameter]) -> dict[str, float]:
    """The cell's own values, as far as they lie in the ranges: the first trial, which the best must beat."""
    return {p.key: p.default for p in space if p.default is not None and p.low <= p.default <= p.high}


def as_overrides(values: Mapping[str, float]) -> dict[str, float]:
    """Settings of a point of the search space."""
    settings = {key: value for key, value in values.items() if not key.endswith(".width")}
    for key, width in values.items():
        if key.endswith(".width"):
            prefix = key.removesuffix("width")
            settings[f"{prefix}p_max"] = settings[f"{prefix}p_min"] + width
    return settings


def objective(trial: Any, space: Sequence[Parameter], runs: Sequence[Experiment], folder: Path) -> float:
    """Mean over the seeds of the best validation metric; the test split is not looked at.

    What `init_from` names by scheme is trained once, below `folder`.
    """
    words = override_words(as_overrides({p.key: p.suggest(trial) for p in space}))
    values: list[float] = []
    for run in runs:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            values.append(best_validation(run, words, Path(place), Pruning(trial, values), folder))
    return mean(values)


def best_validation(run: Experiment, words: Sequence[str], folder: Path, pruning: Pruning, root: Path) -> float:
    """The metric that chooses the epoch, at the epoch it chooses; `root` is the runs' root of what it starts from."""
    built = replace(run, overrides=(*run.overrides, *words, *QUIET_TRIAL)).build(folder)
    useful = [c for c in built.trainer.callbacks if not isinstance(c, (ExportInt8, RangeMonitor))]  # type: ignore[attr-defined]
    built.trainer.callbacks = [pruning, *useful]  # type: ignore[attr-defined]
    initialise(run, built, run.run_in(root), yaml.safe_load(built.resolved()))
    built.trainer.fit(built.model, built.datamodule)
    if built.trainer.interrupted:
        raise KeyboardInterrupt
    return best_score(built.trainer)


def best_score(trainer: pl.Trainer) -> float:
    """Of the checkpoint callback that watches a metric."""
    (watching,) = (c for c in trainer.callbacks if isinstance(c, ModelCheckpoint) and c.monitor)  # type: ignore[attr-defined]
    return float(watching.best_model_score)  # type: ignore[arg-type]


class Pruning(pl.Callback):
    """Gives a trial up whose mean over the seeds so far, this one's best epoch included, is behind the others.

    Args:
        trial: of Optuna.
        before: the values of the seeds before this one.
    """

    def __init__(self, trial: Any, before: Sequence[float]) -> None:
        self.trial, self.before = trial, list(before)
        self.best: float | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Reports, and raises TrialPruned where the study says so."""
        metric, mode = pl_module.monitor
        value = float(trainer.callback_metrics[metric])
        self.best = value if self.best is None else {"max": max, "min": min}[mode](self.best, value)
        step = len(self.before) * (trainer.max_epochs or 0) + trainer.current_epoch
        self.trial.report(mean([*self.before, self.best]), step)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def entry(study: Any, cell: str, space: Sequence[Parameter], seeds: str, fixed: Mapping[str, str]) -> dict[str, Any]:
    """The best settings as an entry of a table, with how they were found."""
    states = [trial.state.name.lower() for trial in study.trials]
    return {
        "cells": cell,
        "variant": VARIANT,
        "overrides": {
            **{key: yaml.safe_load(value) for key, value in fixed.items()},
            **as_overrides(study.best_params),
        },
        "study": {
            "validation": study.best_value,
            "seeds": seeds,
            "trials": {state: states.count(state) for state in sorted(set(states))},
            "sampler": "Optuna TPE, started from the cell's own settings",
            "pruner": "median",
            "optuna": optuna.__version__,
            "range": {p.key: [p.low, p.high] for p in space},
        },
    }


def fixed_settings(overrides: Sequence[str]) -> dict[str, str]:
    """The command line's own overrides by name, without those that change nothing that is computed."""
    settings = dict(word.removeprefix("--").split("=", 1) for word in joined(overrides))
    return {key: value for key, value in settings.items() if key.rpartition(".")[2] not in FREE_KEYS}


def joined(words: Sequence[str]) -> list[str]:
    """`--key value` as `--key=value`."""
    result: list[str] = []
    for word in words:
        if word.startswith("--"):
            result.append(word)
        else:
            result[-1] += f"={word}"
    return result
