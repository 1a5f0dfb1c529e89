"""Brings many runs to their ends, in one process or several, through kills, failures and others at the same work."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import yaml

from app.cli.process import prepare_process
from app.config.grids import Slot
from app.errors import UserError
from app.runs.claims import TakenError
from app.runs.completion import OtherSettingsError, check_settings, clear, complete
from app.runs.experiment import Experiment
from app.runs.run_folder import Run

QUIET_RUN = ("--trainer.enable_progress_bar=false",)
WAIT = 2.0
"""Seconds until runs that other processes hold are looked at again."""


def experiment(slot: Slot, seed: int, overrides: Sequence[str]) -> Experiment:
    """A run of a table, with further overrides."""
    words = (*slot.words, *overrides, *QUIET_RUN)
    return Experiment(slot.name, seed, tuple(slot.cell.config_files), words, slot.cell)


def unfinished(plan: Sequence[Experiment], root: Path) -> list[Experiment]:
    """What is left to do of a plan, every setting of it checked before the first run begins.

    The settings of a cell are resolved once; its seeds differ in nothing else.

    Raises:
        UserError: if a word is no setting, or a run that is there was started with other settings.
    """
    for number, (_, group) in enumerate(groupby(sorted(plan, key=_name), key=_name)):
        experiments = list(group)
        runs = {one.seed: one.run_in(root) for one in experiments}
        begun = {seed: run for seed, run in runs.items() if run.result.exists() or run.last_checkpoint.exists()}
        if begun or number == 0:
            settings = yaml.safe_load(experiments[0].build(root).resolved())
            for seed, run in begun.items():
                check_settings(run, {**settings, "seed_everything": seed})
    return [one for one in plan if one.run_in(root).state != "finished"]


def _name(experiment: Experiment) -> str:
    return experiment.name


def forget_failures(plan: Sequence[Experiment], root: Path) -> None:
    """Clears the failed runs, so that they begin again."""
    for run in (experiment.run_in(root) for experiment in plan):
        if run.state == "failed":
            with run.exclusive():
                clear(run)


def train(plan: Sequence[Experiment], root: Path, jobs: int, threads: int) -> None:
    """Settles all runs, in this process or in `jobs` others; those end with this one, even if it is killed."""
    if jobs == 1:
        settle(plan, root, threads)
        return
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(plan, root, threads), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        settle(plan, root, threads)  # a worker was killed (out of memory, perhaps): what it left is done here


def work(plan: Sequence[Experiment], root: Path, threads: int) -> None:
    """A worker: `settle`, and the end when the parent ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        settle(plan, root, threads)
    except (KeyboardInterrupt, UserError):  # the parent says what there is to say
        raise SystemExit(1) from None


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def settle(plan: Sequence[Experiment], root: Path, threads: int) -> None:
    """Attempts runs until each is finished or failed; waits for those that other processes hold."""
    prepare_process()
    torch.set_num_threads(threads)
    left = list(plan)
    while left:
        before, left = left, [experiment for experiment in left if not attempt(experiment, experiment.run_in(root))]
        if len(left) == len(before):
            time.sleep(WAIT)


def attempt(experiment: Experiment, run: Run) -> bool:
    """Brings a run to its end, or writes down why not; False: another process holds it, or the one it starts from.

    Raises:
        OtherSettingsError: if another process has begun it with other settings; the folder stays as it is.
    """
    try:
        with run.exclusive():
            if not run.failure.exists():
                try:
                    complete(experiment, run)
                except (TakenError, OtherSettingsError):  # what is wrong is not this run
                    raise
                except Exception as problem:  # of whatever kind: the other runs are not to suffer
                    run.record_failure(problem)
    except TakenError:
        return False
    return True
