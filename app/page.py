"""The report as one HTML page: tables and plots inline, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from app import plots
from app.grids import Grid
from app.latency_plot import speedups
from app.results import Results
from app.tables import Layout, Place, Rows

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto; margin-bottom: 2em }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { display: inline-block; margin: 0 1em 1em 0 } svg { max-width: 100%; height: auto }
"""

VALUES = {"in_degree": ("%",), "aggregation": ("mean", "variance")}
"""Figures by in-degree: the columns of their table that are drawn."""


def page(
    tables: dict[str, Rows],
    grids: Sequence[Grid],
    results: Results,
    root: Path,
    latency: dict[str, Any] | None = None,
) -> str:
    """All tables and what can be drawn of the same results, and of the figures of `benchmark latency`."""
    layouts = [Layout.of_grid(grid) for grid in grids] or [Layout.of_results(results)]
    pictures = []
    for layout, values in zip(layouts, [VALUES.get(str(grid.figure)) for grid in grids] or [None], strict=True):
        if values is None:
            pictures += drawn(layout, results, root)
        else:
            pictures += [plots.svg(plots.by_degree(layout.title, tables[layout.title], value)) for value in values]
    if latency:
        pictures.append(plots.svg(speedups(latency["results"])))
    title = " - ".join(layout.title for layout in layouts)
    return "\n".join(
        [
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            f"<style>{STYLE}</style></head><body>",
            *(f"<h2>{escape(name)}</h2>\n{table(rows)}" for name, rows in tables.items()),
            *(f"<figure>{picture}</figure>" for picture in pictures),
            "</body></html>\n",
        ]
    )


def table(rows: Rows) -> str:
    """A table, its first row as header."""
    header = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table>\n<tr>{header}</tr>\n{body}\n</table>"


def drawn(layout: Layout, results: Results, root: Path) -> list[str]:
    """The pictures of a table: per row metric by bits, error by in-degree, validation loss; ranges of its first run."""
    rows: dict[str, list[Place]] = {}
    for place in layout.filled(results):
        rows.setdefault(place.row, []).append(place)
    figures = []
    for row, places in rows.items():
        figures += [
            plots.accuracy_by_bits(row, places, results),
            plots.error_by_degree(row, places, results),
            plots.curves(row, places, results, root, "val/loss"),
        ]
        quantized = [place for place in places if results[place.name][0].get("bits") != 32]
        figures += [plots.ranges(place, results[place.name][0], root) for place in quantized[:1]]
    return [plots.svg(figure) for figure in figures if figure is not None]
