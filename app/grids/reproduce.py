"""`reproduce`: brings every run of a table to its end, in many processes and on many hosts, through kills."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.console import standard_output
from app.config.grids import load_grid, planned
from app.grids.progress import Progress, shown


def reproduce(options: argparse.Namespace, overrides: list[str]) -> int:
    """The command; its exit code is 1 if a run failed."""
    grid, root, console = load_grid(options.name), Path(options.runs_root), standard_output()
    plan = planned(grid, options)
    progress = Progress(grid.title, [(slot.name, seed) for slot, seed in plan], root, options.jobs)
    if options.dry_run:
        console.print(progress.table())
        return 0
    from app.grids import scheduler as settle  # imports Lightning, which the above does without
    from app.reports.report import print_grid

    experiments = settle.unfinished([settle.experiment(slot, seed, overrides) for slot, seed in plan], root)
    if options.retry_failed:
        settle.forget_failures(experiments, root)
    with shown(progress, console):
        settle.train(experiments, root, options.jobs, options.threads)
    console.print(progress.table())
    print_grid(grid, root, console)
    return int(any(run.state == "failed" for run in progress.runs))
