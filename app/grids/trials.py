"""Trials of a study: how many are run, by which process, and what is told of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from operator import attrgetter
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from app.grids.search_space import as_settings
from app.grids.studies import WORKER, Storage
from callbacks.stopping import DivergedError

DIVERGED = "diverged"
"""The attribute of a trial that failed by itself, and not because its process was ended."""

WAIT = 1.0
"""Seconds until the last trials, which other processes run, are looked at again."""


def is_tried(trial: FrozenTrial) -> bool:
    """Whether a trial ended by itself: with a value, pruned, or because it diverged."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or DIVERGED in trial.user_attrs


def optimize(
    study: optuna.Study, storage: Storage, objective: Callable[[Any], float], *, own: Mapping[str, Any], trials: int
) -> None:
    """Runs trials until exactly that many were tried, those of other processes included.

    Trials whose process was killed do not count, are ended, and others take their place; so the last ones are waited
    for, whoever runs them.

    Args:
        own: the cell's own settings, which are tried first.
    """
    while True:
        with ExitStack() as at_work:
            with storage.exclusive():
                end_unclaimed(study)
                storage.end_abandoned(study)
                known = study.get_trials(deepcopy=False)
                tried, running = sum(map(is_tried, known)), sum(t.state is TrialState.RUNNING for t in known)
                if tried >= trials:
                    return
                trial = begin(study, own) if tried + running < trials else None
                if trial:
                    at_work.enter_context(storage.alive(trial))
                    trial.set_user_attr(WORKER, storage.folder.name)
            if trial:
                run(study, trial, objective)
            else:
                time.sleep(WAIT)


def end_unclaimed(study: optuna.Study) -> None:
    """Fails the trials whose process ended before it said whose they are: it does so in the block where it begins."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if WORKER not in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def begin(study: optuna.Study, own: Mapping[str, Any]) -> optuna.Trial:
    """Begins a trial: with the cell's own settings, unless these were tried, or are being tried."""
    current = [t for t in study.get_trials(deepcopy=False) if is_tried(t) or not t.state.is_finished()]
    if not any(trial.system_attrs.get("fixed_params") == own for trial in current):
        study.enqueue_trial(dict(own))
    with warnings.catch_warnings():  # Optuna warns who asks on a database: signs of life have to be given, as we do
        warnings.simplefilter("ignore", UserWarning)
        return study.ask()


def run(study: optuna.Study, trial: optuna.Trial, objective: Callable[[Any], float]) -> None:
    """Runs a trial and tells the study how it ended; whatever is no end of its own is raised again."""
    try:
        value = objective(trial)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except DivergedError:
        trial.set_user_attr(DIVERGED, value=True)
        study.tell(trial, state=TrialState.FAIL)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        study.tell(trial, value)


class News:
    """Tells how trials ended since it was asked last, those of all processes."""

    def __init__(self, study: optuna.Study) -> None:
        self.study, self._told = study, dict[int, FrozenTrial]()

    def __call__(self) -> list[str]:
        """Returns a line a trial, with its settings and the best value until then."""
        ended = [t for t in self.study.get_trials() if t.state.is_finished() and t.number not in self._told]
        lines = []
        for trial in sorted(ended, key=attrgetter("datetime_complete", "number")):
            self._told[trial.number] = trial
            lines.append(self._line(trial))
        return lines

    def _line(self, trial: FrozenTrial) -> str:
        complete = trial.state is TrialState.COMPLETE
        end = (
            f"{trial.value:.4f}" if complete else DIVERGED if DIVERGED in trial.user_attrs else trial.state.name.lower()
        )
        settings = "  ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in as_settings(trial.params).items()
        )
        return f"trial {trial.number + 1}: {end}  ({self._best()})  {settings}"

    def _best(self) -> str:
        known = [trial for trial in self._told.values() if trial.state is TrialState.COMPLETE]
        if not known:
            return "no value yet"
        choose = max if self.study.direction is optuna.study.StudyDirection.MAXIMIZE else min
        best = choose(known, key=attrgetter("value"))
        return f"best {best.value:.4f} of trial {best.number + 1}"
