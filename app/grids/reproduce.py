"""Runs `reproduce`: completes every run of a table, in many processes and on many hosts, and prints the table."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.console import standard_output
from app.cli.process import prepare_process
from app.config.grids import load_grid, plan_runs
from app.grids.progress import Progress, shown


def reproduce(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command; returns 1 if a run failed."""
    grid, root, console = load_grid(options.name), Path(options.runs_root), standard_output()
    plan = plan_runs(grid, options)
    progress = Progress(grid.title, [(slot.name, seed) for slot, seed in plan], root, options.jobs)
    if options.dry_run:
        console.print(progress.table())
        return 0
    from app.grids import scheduler  # imports Lightning, which the above does without
    from app.reports.report import print_grid

    prepare_process()
    experiments = [scheduler.experiment_of(slot, seed, overrides) for slot, seed in plan]
    scheduler.check_plan(experiments, root)
    if options.retry_failed:
        scheduler.clear_failed_runs(experiments, root)
    unfinished = [experiment for experiment in experiments if experiment.run_in(root).state != "finished"]
    with shown(progress, console):
        scheduler.run_plan(unfinished, root, jobs=options.jobs, threads=options.threads)
    console.print(progress.table())
    print_grid(grid, root, console)
    return int(any(run.state == "failed" for run in progress.runs))
