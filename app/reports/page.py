"""The report as one HTML page: tables and plots inline, nothing fetched from anywhere; and its plots alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from app.config.grids import Grid
from app.reports import plots
from app.reports.latency_plot import speedups
from app.reports.layout import Layout, Place
from app.reports.results import Results
from app.reports.rows import Rows

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto; margin-bottom: 2em }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { display: inline-block; margin: 0 1em 1em 0 } svg { max-width: 100%; height: auto }
"""

VALUES = {"in_degree": ("%",), "aggregation": ("mean", "variance")}
"""Figures by in-degree: the columns of their table that are drawn."""


Pictures = dict[str, str]
"""SVG by what it shows, a word fit for a file name."""


def pictures(
    tables: dict[str, Rows],
    grids: Sequence[Grid],
    results: Results,
    root: Path,
    latency: dict[str, Any] | None = None,
) -> Pictures:
    """What can be drawn of grids (none: of all results), and of the figures of `benchmark latency`."""
    found: Pictures = {}
    sources = [(grid.name, Layout.of_grid(grid), VALUES.get(str(grid.figure), ())) for grid in grids]
    for name, layout, values in sources or [("", Layout.of_results(results), ())]:
        by_degree = ((value, plots.svg(plots.by_degree(layout.title, tables[layout.title], value))) for value in values)
        found |= {slug(name, what): svg for what, svg in (by_degree if values else drawn(layout, results, root))}
    return found | ({"latency": plots.svg(speedups(latency["results"]))} if latency else {})


def slug(*words: str) -> str:
    """Words as a name of a file."""
    return re.sub(r"[^\w.+]+", "-", " ".join(words).replace("%", "share")).strip("-")


def page(tables: dict[str, Rows], grids: Sequence[Grid], drawings: Pictures) -> str:
    """All tables and pictures of grids, or of all results."""
    titles = [grid.title for grid in grids] or [next(iter(tables))]
    return "\n".join(
        [
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(" - ".join(titles))}</title>',
            f"<style>{STYLE}</style></head><body>",
            *(f"<h2>{escape(name)}</h2>\n{table(rows)}" for name, rows in tables.items()),
            *(f"<figure>{picture}</figure>" for picture in drawings.values()),
            "</body></html>\n",
        ]
    )


def table(rows: Rows) -> str:
    """A table, its first row as header."""
    header = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table>\n<tr>{header}</tr>\n{body}\n</table>"


def drawn(layout: Layout, results: Results, root: Path) -> Iterator[tuple[str, str]]:
    """The pictures of a table: per row metric by bits, error by in-degree, validation loss; ranges of its first run."""
    rows: dict[str, list[Place]] = {}
    for place in layout.filled(results):
        rows.setdefault(place.row, []).append(place)
    for row, places in rows.items():
        first = next((place for place in places if results[place.name][0].get("bits") != 32), None)
        figures = {
            "by bits": plots.accuracy_by_bits(row, places, results),
            "error by in-degree": plots.error_by_degree(row, places, results),
            "validation loss": plots.curves(row, places, results, root, "val/loss"),
            "ranges": None if first is None else plots.ranges(first, results[first.name][0], root),
        }
        yield from ((f"{row} {what}", plots.svg(figure)) for what, figure in figures.items() if figure is not None)
