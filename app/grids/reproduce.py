"""Runs `reproduce`: completes every run of a table, in many processes, and prints the table."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from app.cli.console import standard_output
from app.config.grids import load_grid, plan_runs, with_seeds
from app.grids import scheduler
from app.grids.progress import Progress, shown
from app.grids.runners import runner_of
from app.reports.report import print_grid


def reproduce(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command; returns 1 if a run failed or was left for later, or its result is damaged."""
    grid, root, console = load_grid(options.name), Path(options.runs_root), standard_output()
    plan = plan_runs(grid, options)
    experiments = [scheduler.experiment_of(slot, seed, overrides) for slot, seed in plan]
    scheduler.check_plan(experiments, root, retry_failed=options.retry_failed)
    names = [(slot.name, seed) for slot, seed in plan]
    if options.dry_run:
        progress = Progress(grid.title, names, root, options.jobs)
        console.print(progress.table())
        tell_damaged(progress)
        return 0
    if options.retry_failed:
        scheduler.clear_failed_runs(experiments, root)
    runner = runner_of(options, shared=root)
    progress = Progress(grid.title, names, root, runner.jobs)
    unfinished = [experiment for experiment in experiments if experiment.run_in(root).state != "finished"]
    with shown(progress, console):
        runner.run(partial(scheduler.complete_all, unfinished, root))
    scheduler.tell_left(unfinished, root)
    console.print(progress.table())
    print_grid(with_seeds(grid, options), root, console, overrides)  # names damaged results too
    return int(bool(progress.damaged) or any(run.state != "finished" for run in progress.runs))


def tell_damaged(progress: Progress) -> None:
    """Names the results that cannot be read, in a line each on standard error."""
    for problem in progress.damaged.values():
        print(problem, file=sys.stderr)
