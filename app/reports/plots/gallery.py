"""All pictures of a report, as SVG by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from app.config.grids import Grid
from app.reports.headline import headline_rows
from app.reports.layout import Layout, Placement
from app.reports.plots import by_row
from app.reports.plots.by_degree import column_by_degree
from app.reports.plots.canvas import svg
from app.reports.plots.headline import headline_figure
from app.reports.plots.latency import speedups
from app.reports.results import Results, bits_of
from app.reports.rows import Tables

Pictures = dict[str, str]
"""SVG by what it shows, a word fit for a file name."""

DRAWN_COLUMNS = {"in_degree": ("%",), "aggregation": ("mean", "variance")}
"""Columns that are drawn, by the figure a grid asks for."""


def draw_pictures(
    tables: Tables,
    grids: Sequence[Grid],
    results: Results,
    *,
    root: Path,
    latency: dict[str, Any] | None = None,
) -> Pictures:
    """Draws what can be drawn of grids (of all results where there is none) and of measured latencies.

    Args:
        tables: those of the grids, as far as a picture shows a column of them.
        root: the runs' root, for what runs logged.
        latency: as `benchmark latency --output` wrote it.
    """
    measured = latency["results"] if latency else []
    layouts = [Layout.of_grid(grid) for grid in grids if grid.figure not in DRAWN_COLUMNS]
    layouts = layouts if grids else [Layout.of_results(results)]
    figures: dict[str, Figure | None] = {}
    if layouts:
        figures["headline"] = headline_figure(headline_rows(Layout.joined(layouts), results), results, measured)
    for grid in grids:
        if grid.figure in DRAWN_COLUMNS:
            for column in DRAWN_COLUMNS[grid.figure]:
                figures[slug(grid.name, column)] = column_by_degree(grid.title, tables[grid.title], column)
        elif grid.figure != "headline":
            figures |= row_figures(Layout.of_grid(grid), results, root, prefix=grid.name)
    if not grids:
        figures |= row_figures(layouts[0], results, root)
    if measured:
        figures["latency"] = speedups(measured)
    return {name: svg(figure) for name, figure in figures.items() if figure is not None}


def row_figures(layout: Layout, results: Results, root: Path, *, prefix: str = "") -> Mapping[str, Figure | None]:
    """Draws every row of a table: score by bits, error by in-degree, validation loss, and scales of one of its runs."""
    figures: dict[str, Figure | None] = {}
    for row, places in layout.restricted_to(results).apart_by_metric(results).rows.items():
        figures |= {
            slug(prefix, row, "by bits"): by_row.accuracy_by_bits(row, places, results),
            slug(prefix, row, "error by in-degree"): by_row.error_by_degree(row, places, results),
            slug(prefix, row, "validation loss"): by_row.logged_curves(row, places, results, root=root, tag="val/loss"),
            slug(prefix, row, "ranges"): scales_of_first_quantized(places, results, root),
        }
    return figures


def scales_of_first_quantized(places: Sequence[Placement], results: Results, root: Path) -> Figure | None:
    """Draws the scales of the first run of a row that is not FP32; None if there is none, or no log of it."""
    place = next((place for place in places if bits_of(results[place.name][0]) != 32), None)
    return by_row.scale_curves(place, results[place.name][0], root) if place else None


def slug(*words: str) -> str:
    """Returns words as a name of a file."""
    return re.sub(r"[^\w.+]+", "-", " ".join(words).replace("%", "share")).strip("-")
