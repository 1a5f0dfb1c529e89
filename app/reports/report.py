"""`report`: tables of finished runs, computed from their result files alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from app.cli.options import RUNS_ROOT
from app.cli.output import output_file
from app.config.grids import Grid, load_grid
from app.engine.files import write_atomically
from app.errors import UserError
from app.reports.document import filled
from app.reports.latency_rows import latency_rows, latency_title, read_latency
from app.reports.layout import Layout
from app.reports.results import Results, collect, merged, read_lines, write_lines
from app.reports.rows import Rows, Tables
from app.reports.writers import WRITERS, as_markdown, deliver, print_tables
from app.runs.run_folder import Run


def report(options: argparse.Namespace, rest: list[str]) -> int:
    """The command."""
    elsewhere = options.names or options.output or options.latency or options.plots or options.format != "table"
    if options.document and elsewhere:
        raise UserError("--document FILE names its own tables and is written in place: give nothing but sources")
    root = Path(options.runs_root or RUNS_ROOT)
    grids = [load_grid(name) for name in options.names]
    results = results_of(options.source, options.runs_root)
    latency = read_latency(Path(options.latency)) if options.latency else None
    if not results and not latency and not any(grid.figure == "in_degree" for grid in grids):
        if options.source:
            raise UserError(f"--from {options.source}: no results in this file")
        raise UserError(f"--runs-root {root}: no finished runs below this folder")
    if options.summary:
        write_atomically(output_file(options.summary), write_lines(results))
    if options.document:
        path = Path(options.document)
        text = filled(path, lambda names: as_markdown(tables_of([load_grid(name) for name in names], results, root)))
        write_atomically(path, text)
        return 0
    tables = tables_of(grids, results, root)
    if latency:
        tables[latency_title(latency)] = latency_rows(latency)
    drawings = {}
    if options.plots or options.format == "html":
        from app.reports.page import page, pictures  # imports the plotting library, which tables do without

        drawings = pictures(tables, grids, results, root, latency)
    if options.plots:
        write_plots(drawings, Path(options.plots))
    deliver(tables, options.format, options.output, {**WRITERS, "html": lambda tables: page(tables, grids, drawings)})
    return 0


def write_plots(drawings: dict[str, str], folder: Path) -> None:
    """Each as an SVG file of its own.

    Raises:
        UserError: if the folder is a file, or there is nothing to draw.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--plots {folder}: is a file; name a folder")
    if not drawings:
        raise UserError(f"--plots {folder}: there is nothing to draw; curves and ranges need the runs' folders")
    for name, svg in drawings.items():
        write_atomically(folder / f"{name}.svg", svg)


def results_of(source: str | None, runs_root: str | None) -> Results:
    """Of the file of `--from`, of the folder of `--runs-root`, or of both: a run goes before a line."""
    if source is None:
        return collect(Path(runs_root or RUNS_ROOT))
    kept = read_lines(Path(source))
    return merged(kept, collect(Path(runs_root))) if runs_root else kept


def tables_of(grids: Sequence[Grid], results: Results, root: Path) -> Tables:
    """The tables of all grids, or of all results where there is no grid."""
    if not grids:
        return Layout.of_results(results).tables(results)
    tables: Tables = {}
    for grid in grids:
        tables |= grid_tables(grid, results, root)
    return tables


def grid_tables(grid: Grid, results: Results, root: Path) -> Tables:
    """The tables of a grid, those under the first named after it."""
    layout = Layout.of_grid(grid)
    tables = layout.tables(results)
    if grid.figure in ("in_degree", "aggregation"):
        from app.reports.in_degree import figure_rows  # imports torch, which tables do without

        tables = {grid.title: figure_rows(grid, root)}
    failures = failure_rows(grid, root)
    if len(failures) > 1:
        tables["Failed"] = failures
    return {title if title == grid.title else f"{grid.name}: {title}": rows for title, rows in tables.items()}


def failure_rows(grid: Grid, root: Path) -> Rows:
    """The runs of a grid that came to no result, and why."""
    runs = [(f"{slot.name}/seed={seed}", Run.of(root, slot.name, seed)) for slot in grid.slots for seed in slot.seeds]
    return [["run", "reason"], *([name, run.read_failure()] for name, run in runs if run.state == "failed")]


def print_grid(grid: Grid, root: Path, console: Console) -> None:
    """Shows the tables of one grid as they stand."""
    print_tables(grid_tables(grid, collect(root), root), console)
