"""What a run logged of its sites, over epochs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from app.reports.plots.canvas import labelled_axes
from app.reports.plots.log import Log

NAMED = 10
"""Lines of a picture that have a colour and a name; the others are grey."""


def lines_of_sites(log: Log, kind: str, title: str, *, logarithmic: bool = False) -> Figure | None:
    """Draws what was logged of all sites over epochs; where these are many, those that move most have names."""
    curves = {name: log.curve(f"{kind}/{name}") for name in log.named(kind)}
    if not curves:
        return None
    figure = labelled_axes(title, "epoch", "step" if kind == "scale" else "share clipped")
    (axes,) = figure.axes
    moves = {name: float(np.ptp(np.log(y) if logarithmic else y)) for name, (_, y) in curves.items()}
    named = sorted(moves, key=lambda name: -moves[name])[:NAMED]
    for name, (x, y) in curves.items():
        if name in named:
            axes.plot(x, y, label=name, marker=".", markersize=3)
        else:
            axes.plot(x, y, color="#cccccc", linewidth=0.8, zorder=1)
    if others := len(curves) - len(named):
        axes.plot([], [], color="#cccccc", label=f"{others} other sites")
    if logarithmic:
        axes.set_yscale("log")
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
