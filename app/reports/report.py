"""`report`: tables, plots and pages of finished runs, computed from their result files alone."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from app.cli.options import RUNS_ROOT
from app.cli.output import output_file
from app.config.grids import Grid, load_grid
from app.engine.files import write_atomically
from app.errors import UserError
from app.reports.counted import counted
from app.reports.formats.document import read_document, with_new_tables
from app.reports.formats.page import page
from app.reports.formats.writers import WRITERS, as_markdown, deliver, print_tables
from app.reports.headline import headline_tables, left_out
from app.reports.latency import latency_table, latency_table_title, read_latency
from app.reports.layout import Layout
from app.reports.records import as_rows, records
from app.reports.results import Results, apart_by_data, collect
from app.reports.rows import Rows, Tables
from app.reports.summaries import check_alike, merged, read_lines, write_lines
from app.reports.tables import result_tables
from app.runs.result import OtherSettings
from app.runs.run_folder import Run

BY_DEGREE = ("in_degree", "aggregation")
"""Figures that are tables by in-degree instead of tables of results."""


def report(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command."""
    if options.run:
        from app.reports.one_run.command import report_run  # imports torch, which tables do without

        return report_run(options)
    elsewhere = options.names or options.output or options.latency or options.plots or options.format != "table"
    if options.document and elsewhere:
        raise UserError("--document FILE names its own tables and is written in place: give nothing but sources")
    documents = {path: read_document(path) for path in map(Path, options.document or [])}
    check_outputs(options)
    root = Path(options.runs_root or RUNS_ROOT)
    grids = [load_grid(name) for name in options.names]
    results = read_results(options.source, options.runs_root)
    latency = read_latency(Path(options.latency)) if options.latency else None
    if not results and not latency and not any(grid.figure == "in_degree" for grid in grids):
        if options.source:
            raise UserError(f"--from {options.source}: no results in this file")
        raise UserError(f"--runs-root {root}: no finished runs below this folder")
    if options.summary:
        write_atomically(Path(options.summary), write_lines(results))
    if documents:
        write_documents(documents, results, root)
        return 0
    if options.format == "csv":
        tables = {"": one_table(grids, results, root, latency)}
    else:
        tables = tables_of(grids, results, root)
        if latency:
            tables[latency_table_title(latency)] = latency_table(latency)
    pictures: dict[str, str] = {}
    if options.plots or options.format == "html":
        from app.reports.plots.gallery import draw_pictures  # imports the plotting library, which tables do without

        shown = counted_in(grids, results, tell=False)
        pictures = draw_pictures(tables, grids, shown, root=root, latency=latency)
    if options.plots:
        write_pictures(pictures, Path(options.plots))

    def html(tables: Tables) -> str:
        title = " - ".join(grid.title for grid in grids) or "Results of all runs"
        first = headline_of(grids, counted_in(grids, results, tell=False))
        return page(title, first, {name: rows for name, rows in tables.items() if name not in first}, pictures)

    deliver(tables, options.format, options.output, {**WRITERS, "html": html})
    return 0


def one_table(grids: Sequence[Grid], results: Results, root: Path, latency: dict[str, Any] | None) -> Rows:
    """Returns the table that is written as CSV: of runs, a row each; or of one figure, or of latencies, alone.

    Raises:
        UserError: where these stand beside each other.
    """
    figures = [grid for grid in grids if grid.figure in BY_DEGREE]
    if not (figures or latency):
        found = records(counted_in(grids, results))
        if not found:
            raise UserError(f"--format csv: there is no finished run of {', '.join(grid.name for grid in grids)}")
        return as_rows(found)
    if len(grids) + (latency is not None) > 1:
        name = figures[0].name if figures else "--latency"
        raise UserError(f"--format csv is one table, and {name} has one of its own: give it alone or another --format")
    if latency:
        return latency_table(latency)
    from app.reports.in_degree import rows_by_degree  # imports torch, which tables do without

    return rows_by_degree(figures[0], root)


def read_results(source: str | None, runs_root: str | None) -> Results:
    """Reads the file of `--from`, the folder of `--runs-root`, or both: a run goes before a line.

    Raises:
        UserError: if the file is no summary, or a cell has runs of other settings in it than in the folder.
    """
    if source is None:
        return collect(Path(runs_root or RUNS_ROOT))
    results, where = read_lines(Path(source)), f"--from {source}"
    if runs_root:
        results, where = merged(results, collect(Path(runs_root))), f"{where} --runs-root {runs_root}"
    check_alike(results, where)
    return apart_by_data(results)


def counted_in(grids: Sequence[Grid], results: Results, *, tell: bool = True) -> Results:
    """Returns the results that count in one of several grids; all where there is no grid."""
    if not grids:
        return results
    return {name: runs for grid in grids for name, runs in counted(grid, results, tell=tell).items()}


def check_outputs(options: argparse.Namespace) -> None:
    """Raises UserError before the work where a file of the output is a folder, or the folder of plots a file."""
    for name in ("output", "summary"):
        if word := getattr(options, name):
            output_file(word, f"--{name}")
    if options.plots and Path(options.plots).is_file():
        raise UserError(f"--plots {options.plots}: is a file; name a folder")


def write_documents(documents: Mapping[Path, str], results: Results, root: Path) -> None:
    """Computes the tables of all documents anew, and writes the documents only if every one of them could be."""

    def tables(names: Sequence[str]) -> str:
        return as_markdown(tables_of([load_grid(name) for name in names], results, root))

    texts = {path: with_new_tables(text, tables) for path, text in documents.items()}
    for path, text in texts.items():
        write_atomically(path, text)


def write_pictures(pictures: dict[str, str], folder: Path) -> None:
    """Writes every picture to an SVG file of its own.

    Raises:
        UserError: if there is nothing to draw.
    """
    if not pictures:
        raise UserError(f"--plots {folder}: there is nothing to draw; curves and ranges need the runs' folders")
    for name, svg in pictures.items():
        write_atomically(folder / f"{name}.svg", svg)


def tables_of(grids: Sequence[Grid], results: Results, root: Path) -> Tables:
    """Returns the tables of all grids, or of all results where there is no grid."""
    if not grids:
        return result_tables(Layout.of_results(results), results)
    tables: Tables = {}
    for grid in grids:
        for title, rows in grid_tables(grid, results, root).items():
            tables[free_title(title, rows, tables)] = rows
    return tables


def free_title(title: str, rows: Rows, tables: Tables) -> str:
    """Returns a title under which no other table stands: the given one, with a number if that is taken."""
    number, free = 1, title
    while tables.get(free, rows) != rows:
        number += 1
        free = f"{title} ({number})"
    return free


def grid_tables(grid: Grid, results: Results, root: Path, overrides: Sequence[str] = ()) -> Tables:
    """Returns the tables of a grid; those below the first are named after the grid.

    Args:
        overrides: further words of the command line with which its runs were trained.
    """
    check_one_experiment_each(grid, results)
    results = counted(grid, results, overrides)
    if grid.figure in BY_DEGREE:
        from app.reports.in_degree import rows_by_degree  # imports torch, which tables do without

        tables = {grid.title: rows_by_degree(grid, root)}
    elif grid.figure == "headline":
        tables = headline_tables(Layout.of_grid(grid), results, grid.title)
    else:
        tables = result_tables(Layout.of_grid(grid), results)
    failures = failure_rows(grid, root)
    if len(failures) > 1:
        tables["Failed"] = failures
    return named_after(grid, tables)


def check_one_experiment_each(grid: Grid, results: Results) -> None:
    """Raises UserError if runs of a cell of the grid have different settings, and none lie where the grid's runs do."""
    found: dict[str, list[OtherSettings]] = {}
    for runs in results.values():
        if other := runs[0].get("other_settings"):
            found.setdefault(other["cell"], []).append(other)
    for slot in grid.slots:
        if slot.name not in results and len(found.get(slot.name, ())) > 1:
            one, two = found[slot.name][:2]
            changed = [key for key, value in one["settings"].items() if two["settings"].get(key) != value]
            key = changed[0] if changed else ""
            raise UserError(
                f"{one['folder']} and {two['folder']} are runs of {slot.name} with other settings ({key}: "
                f"{one['settings'].get(key)} and {two['settings'].get(key)}): --runs-root has to be that of one of them"
            )


def named_after(grid: Grid, tables: Tables) -> Tables:
    """Puts the name of the grid before the titles of its tables, except the first."""
    return {title if title == grid.title else f"{grid.name}: {title}": rows for title, rows in tables.items()}


def headline_of(grids: Sequence[Grid], results: Results) -> Tables:
    """Returns the tables a page starts with: those of a headline among the grids, or else a headline of all of them."""
    for grid in grids:
        if grid.figure == "headline":
            return named_after(grid, headline_tables(Layout.of_grid(grid), results, grid.title))
    layouts = [Layout.of_grid(grid) for grid in grids if grid.figure not in BY_DEGREE]
    layouts = layouts if grids else [Layout.of_results(results)]
    if not layouts:
        return {}
    layout = Layout.joined(layouts)
    return {**headline_tables(layout, results), **left_out(layout, results)}


def failure_rows(grid: Grid, root: Path) -> Rows:
    """Lists the runs of a grid that came to no result, and why."""
    runs = [(f"{slot.name}/seed={seed}", Run.of(root, slot.name, seed)) for slot in grid.slots for seed in slot.seeds]
    return [["run", "reason"], *([name, run.read_failure()] for name, run in runs if run.state == "failed")]


def print_grid(grid: Grid, root: Path, console: Console, overrides: Sequence[str]) -> None:
    """Prints the tables of one grid as they stand, of runs with further `overrides`."""
    print_tables(grid_tables(grid, collect(root), root, overrides), console)
