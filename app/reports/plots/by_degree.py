"""Plots with the in-degree of nodes on the horizontal axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from matplotlib.figure import Figure

from app.reports.plots.canvas import labelled_axes
from app.reports.rows import Rows


def lines_over_degrees(title: str, value: str, lines: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draws lines by name over bins of in-degree (`0`, `1`, `2-3`, ...), the bins of all of them in order."""
    figure = labelled_axes(title, "in-degree", value)
    (axes,) = figure.axes
    bins = sorted({name for line in lines.values() for name in line}, key=first_degree)
    for label, line in lines.items():
        names = sorted(line, key=first_degree)
        axes.plot([bins.index(name) for name in names], [line[name] for name in names], marker="o", label=label)
    axes.set_xticks(range(len(bins)), bins, rotation=45)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def first_degree(name: str) -> int:
    """Returns the least in-degree of a bin."""
    return int(name.split("-")[0])


def column_by_degree(title: str, rows: Rows, value: str) -> Figure:
    """Draws a column of a table by in-degree: a line for every combination of the columns before the in-degree."""
    split, column = rows[0].index("in-degree"), rows[0].index(value)
    lines: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows[1:]:
        lines[" ".join(row[:split])][row[split]] = float(row[column])
    figure = lines_over_degrees(title, value, lines)
    (axes,), values = figure.axes, [v for line in lines.values() for v in line.values()]
    if min(values) > 0:
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=min(abs(v) for v in values if v))
    axes.autoscale()  # the margins were those of a linear axis
    return figure
