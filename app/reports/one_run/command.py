"""`report --run`: what one looks at after a training, as tables or on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.process import prepare_process
from app.errors import UserError
from app.reports.formats.page import page
from app.reports.formats.writers import WRITERS, deliver
from app.reports.one_run.evidence import Evidence
from app.reports.one_run.tables import tables_of_run
from app.reports.plots.log import Log
from app.reports.rows import Tables
from app.runs.run_folder import Run

ELSEWHERE = ("names", "source", "runs_root", "summary", "document", "plots", "latency")
"""Options of reports of many runs."""

HEADED = 2
"""Tables that stand before the pictures of a page: what the run is, and its metrics."""


def report_run(options: argparse.Namespace) -> int:
    """Prints or writes the report of the run that --run names.

    Raises:
        UserError: for options that belong to reports of many runs; if the run is not finished, or its data is not here.
    """
    if options.format == "csv" or any(getattr(options, name) for name in ELSEWHERE):
        raise UserError("--run is one run: give it with --format table, markdown or html and --output alone")
    prepare_process()
    found, log = Evidence.of(run := Run(Path(options.run))), Log.of(run)
    tables = tables_of_run(found, log)

    def html(tables: Tables) -> str:
        from app.reports.one_run.figures import pictures_of_run  # imports the plotting library

        title = f"{found.result['cell']}, seed {found.result['seed']}"
        first = dict(list(tables.items())[:HEADED])
        rest = {name: rows for name, rows in tables.items() if name not in first}
        return page(title, first, rest, pictures_of_run(found, log))

    deliver(tables, options.format, options.output, {**WRITERS, "html": html})
    return 0
