"""Runs a list of experiments to completion, beside other processes that do the same."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import yaml

from app.config.grids import Slot
from app.grids.runners import Spread
from app.runs.completion import OtherSettingsError, check_possible, check_settings, check_start, clear, complete
from app.runs.experiment import Experiment
from app.runs.locks import TakenError
from app.runs.start.weights import NotTrainedError

REMEDY = "give another --runs-root, or remove that folder"
"""What helps where a folder holds another run: a table has no --overwrite, which would train all of it anew."""

WAIT = 2.0
"""Seconds until runs that other processes hold are looked at again."""


def experiment_of(slot: Slot, seed: int, overrides: Sequence[str]) -> Experiment:
    """Returns the experiment of a seed of a slot of a table, with further overrides."""
    return Experiment.of_cell(slot.cell, seed, overrides=(*slot.overrides, *overrides), name=slot.name).quiet()


def check_plan(plan: Sequence[Experiment], root: Path, *, retry_failed: bool = False) -> None:
    """Checks the settings of a plan before the first run begins.

    The settings of a cell are resolved once, as its seeds differ in nothing else. Of cells without any run, one for
    every data set and list of overrides is checked: networks and schemes hardly differ in what can be wrong.

    Args:
        retry_failed: whether failed runs begin again, whatever their settings were.

    Raises:
        UserError: if a word is no setting, a setting cannot work, or a run that is there was started with others.
    """
    checked = set()
    for _, group in groupby(sorted(plan, key=_name), key=_name):
        experiments = list(group)
        first, progress = experiments[0], [experiment.run_in(root).progress for experiment in experiments]
        kind = (first.cell and first.cell.dataset, first.overrides)
        if kind in checked and set(progress) == {"new"}:
            continue
        built = first.build(root)
        if set(progress) != {"finished"}:
            check_possible(built)
            checked.add(kind)
        settings = yaml.safe_load(built.resolved())
        for experiment, found in zip(experiments, progress, strict=True):
            if found != "new":
                run = experiment.run_in(root)
                failed = run.state == "failed"
                if failed and retry_failed:
                    continue
                remedy = "--retry-failed begins it again" if failed else REMEDY
                check_settings(run, {**settings, "seed_everything": experiment.seed}, remedy)
                check_start(experiment, run, settings, REMEDY)


def _name(experiment: Experiment) -> str:
    return experiment.name


def clear_failed_runs(plan: Sequence[Experiment], root: Path) -> None:
    """Clears the folders of the failed runs of a plan, so that these begin again."""
    for run in (experiment.run_in(root) for experiment in plan):
        if run.state == "failed":
            with run.exclusive():
                clear(run)


def complete_all(plan: Sequence[Experiment], root: Path, spread: Spread) -> None:
    """Attempts the runs of a plan until each is finished or failed; waits for those that other processes hold.

    A run whose start is not trained is left once nothing else is to be done: the start is in another part of the table,
    or has failed.

    Raises:
        OtherSettingsError: if another process has begun one of them with other settings.
    """
    left = list(plan)
    while left:
        found = [(experiment, why) for experiment, why in spread(partial(attempt, root=root), left) if why]
        if len(found) == len(left):
            if not any(isinstance(why, TakenError) for _, why in found):
                return
            time.sleep(WAIT)
        left = [experiment for experiment, _ in found]


def tell_left(plan: Sequence[Experiment], root: Path) -> None:
    """Says on standard error which runs of a plan were left for later, and what they wait for."""
    for experiment in plan:
        if experiment.run_in(root).state == "open" and (why := attempt(experiment, root)):
            print(f"{experiment}: left for later: {why}, or call again once it is trained", file=sys.stderr)


def attempt(experiment: Experiment, root: Path) -> TakenError | NotTrainedError | None:
    """Completes a run unless it has failed before; writes down why if it fails now.

    Returns:
        None if the run is finished or failed; else what keeps it from that: another process holds it, or the run that
        it starts from, or that one is not trained.

    Raises:
        OtherSettingsError: if another process has begun it with other settings; the folder stays as it is.
    """
    run = experiment.run_in(root)
    try:
        with run.exclusive():
            if not run.failure.exists():
                try:
                    complete(experiment, run)
                except (TakenError, NotTrainedError, OtherSettingsError):  # no failure of this run
                    raise
                except Exception as problem:  # whatever it is, the other runs go on
                    run.write_failure(problem)
    except (TakenError, NotTrainedError) as why:
        return why
    return None
