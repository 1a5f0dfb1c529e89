"""Runs a list of experiments to completion, in one process or several, tolerating crashes and concurrent workers."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
import yaml

from app.cli.process import prepare_process
from app.config.grids import Slot
from app.errors import UserError
from app.runs.completion import OtherSettingsError, check_possible, check_settings, clear, complete
from app.runs.experiment import Experiment
from app.runs.locks import TakenError
from app.runs.run_folder import Run
from datamodules.processes import end_with_parent

WAIT = 2.0
"""Seconds until runs that other processes hold are looked at again."""


def experiment_of(slot: Slot, seed: int, overrides: Sequence[str]) -> Experiment:
    """Returns the experiment of a seed of a slot of a table, with further overrides."""
    return Experiment.of_cell(slot.cell, seed, overrides=(*slot.overrides, *overrides), name=slot.name).quiet()


def check_plan(plan: Sequence[Experiment], root: Path) -> None:
    """Checks the settings of a plan before the first run begins.

    The settings of a cell are resolved once, as its seeds differ in nothing else. Of cells without any run, one for
    every data set and list of overrides is checked: networks and schemes hardly differ in what can be wrong.

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
                check_settings(experiment.run_in(root), {**settings, "seed_everything": experiment.seed})


def _name(experiment: Experiment) -> str:
    return experiment.name


def clear_failed_runs(plan: Sequence[Experiment], root: Path) -> None:
    """Clears the folders of the failed runs of a plan, so that these begin again."""
    for run in (experiment.run_in(root) for experiment in plan):
        if run.state == "failed":
            with run.exclusive():
                clear(run)


def run_plan(plan: Sequence[Experiment], root: Path, *, jobs: int, threads: int) -> None:
    """Completes all runs of a plan, in this process or in `jobs` workers.

    The workers end when this process ends, even if it is killed. What a worker that was killed (out of memory, perhaps)
    left undone is done here.
    """
    if jobs == 1:
        complete_all(plan, root, threads)
        return
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=worker_main, args=(plan, root, threads), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if killed := [-worker.exitcode for worker in workers if worker.exitcode is not None and worker.exitcode < 0]:
        told = f"{len(killed)} of {jobs} workers were killed (signal {killed[0]}; memory may have run out)"
        print(f"{told}: what they left undone is done here", file=sys.stderr)
    if any(worker.exitcode for worker in workers):
        complete_all(plan, root, threads)


def worker_main(plan: Sequence[Experiment], root: Path, threads: int) -> None:
    """Completes all runs of a plan in a worker process, and ends when the parent process ends."""
    prepare_process()
    end_with_parent()
    try:
        complete_all(plan, root, threads)
    except (KeyboardInterrupt, UserError):  # the parent completes the plan again, and reports what is wrong
        raise SystemExit(1) from None


def complete_all(plan: Sequence[Experiment], root: Path, threads: int) -> None:
    """Attempts the runs of a plan until each is finished or failed; waits for those that other processes hold."""
    torch.set_num_threads(threads)
    left = list(plan)
    while left:
        before = len(left)
        left = [experiment for experiment in left if not attempt(experiment, experiment.run_in(root))]
        if len(left) == before:
            time.sleep(WAIT)


def attempt(experiment: Experiment, run: Run) -> bool:
    """Completes a run unless it has failed before; writes down why if it fails now.

    Returns:
        Whether the run is finished or failed; False if another process holds it, or the run that it starts from.

    Raises:
        OtherSettingsError: if another process has begun it with other settings; the folder stays as it is.
    """
    try:
        with run.exclusive():
            if not run.failure.exists():
                try:
                    complete(experiment, run)
                except (TakenError, OtherSettingsError):  # no failure of this run
                    raise
                except Exception as problem:  # whatever it is, the other runs go on
                    run.write_failure(problem)
    except TakenError:
        return False
    return True
