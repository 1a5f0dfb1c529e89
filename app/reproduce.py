"""`reproduce`: brings every run of a table to its end, in many processes and on many hosts, through kills."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.claims import TakenError
from app.experiments import Experiment, clear, complete
from app.grids import Grid, chosen_slots, load_grid, parse_shard
from app.lightning_cli import prepare_process
from app.report import print_grid
from app.results import headline
from app.runs import Run

QUIET_RUN = ("--trainer.enable_progress_bar=false",)
WAIT = 2.0
"""Seconds until runs that other processes hold are looked at again."""


def reproduce(options: argparse.Namespace, overrides: list[str]) -> int:
    """The command; its exit code is 1 if a run failed."""
    grid, root = load_grid(options.name), Path(options.runs_root)
    plan = planned(grid, options, overrides)
    progress = Progress(grid, plan, root, options.jobs)
    console = Console()
    if options.dry_run:
        console.print(progress.table())
        return 0
    if options.retry_failed:
        forget_failures(plan, root)
    with Live(get_renderable=progress.table, console=console, refresh_per_second=0.5, transient=True):
        train(plan, root, options.jobs, options.threads)
    console.print(progress.table())
    print_grid(grid, root, console)
    return int(any(run.state == "failed" for run in progress.runs))


def planned(grid: Grid, options: argparse.Namespace, overrides: Sequence[str] = ()) -> list[Experiment]:
    """This shard's part of the runs of a grid: seed by seed, so that a part of the time is a part of every cell."""
    slots = chosen_slots(grid, options) if grid.figure != "in_degree" else []  # that one needs data alone
    every = [
        Experiment(slot.name, seed, tuple(slot.cell.config_files), (*slot.words, *overrides, *QUIET_RUN), slot.cell)
        for seed in sorted({seed for slot in slots for seed in slot.seeds})
        for slot in slots
        if seed in slot.seeds
    ]
    first, step = parse_shard(options.shard)
    unique = {(experiment.name, experiment.seed): experiment for experiment in every}
    return list(unique.values())[first - 1 :: step]


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
    except KeyboardInterrupt:  # the parent says what there is to say
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
    """Brings a run to its end, or writes down why not; False: another process holds it."""
    try:
        with run.exclusive():
            if not run.failure.exists():
                try:
                    complete(experiment, run)
                except TakenError:  # of the run whose weights this one starts from
                    raise
                except Exception as problem:  # of whatever kind: the other runs are not to suffer
                    run.record_failure(problem)
    except TakenError:
        return False
    return True


class Progress:
    """What has been done of a plan, read from the run folders, so from the work of all processes.

    Args:
        jobs: processes at work here, for the estimate of the time left.
    """

    def __init__(self, grid: Grid, plan: Sequence[Experiment], root: Path, jobs: int) -> None:
        self.grid, self.jobs = grid, jobs
        self.runs = [experiment.run_in(root) for experiment in plan]
        self.names = [experiment.name for experiment in plan]
        self._results: dict[Run, dict[str, Any]] = {}

    def table(self) -> Group:
        """A line per cell, and the time left."""
        states = [run.state for run in self.runs]
        for run, state in zip(self.runs, states, strict=True):
            if state == "finished" and run not in self._results:
                self._results[run] = run.read_result()
        table = Table(title=self.grid.title)
        table.add_column("cell", no_wrap=True)
        for column in ("runs", "finished", "running", "failed", "so far"):
            table.add_column(column, justify="right")
        for name in dict.fromkeys(self.names):
            count = Counter(state for state, other in zip(states, self.names, strict=True) if other == name)
            numbers = (sum(count.values()), count["finished"], count["running"], count["failed"])
            table.add_row(name, *(str(number or "") for number in numbers), self._so_far(name))
        return Group(table, Text(self._summary(Counter(states))))

    def _of(self, name: str) -> list[dict[str, Any]]:
        pairs = zip(self.runs, self.names, strict=True)
        return [self._results[run] for run, other in pairs if other == name and run in self._results]

    def _so_far(self, name: str) -> str:
        results = self._of(name)
        if not results:
            return ""
        metric = headline(results[0])
        return metric.text([headline(result).value for result in results])

    def _summary(self, count: Counter[str]) -> str:
        done = f"{count['finished']} of {len(self.runs)} runs finished, {count['failed']} failed"
        if not count["open"] and not count["running"]:
            return done
        seconds = self.seconds_left()
        return done + (f"; about {seconds / 60:.0f} min left" if seconds is not None else "")

    def seconds_left(self) -> float | None:
        """From how long finished runs of the same cell took, or else those of all; None without any."""
        durations = {name: [_seconds(result) for result in self._of(name)] for name in dict.fromkeys(self.names)}
        known = [seconds for values in durations.values() for seconds in values]
        if not known:
            return None
        pairs = zip(self.runs, self.names, strict=True)
        left = [name for run, name in pairs if run not in self._results and run.state != "failed"]
        return sum(mean(durations[name] or known) for name in left) / self.jobs


def _seconds(result: dict[str, Any]) -> float:
    durations = result["durations"]
    return durations["fit"] + durations["evaluate"]
