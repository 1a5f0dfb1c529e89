"""Plots of the rows of a table: score by bits, error by in-degree, and what the runs logged while they trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from matplotlib.figure import Figure

from app.reports.layout import Placement
from app.reports.plots.by_degree import lines_over_degrees
from app.reports.plots.by_site import lines_of_sites
from app.reports.plots.canvas import labelled_axes
from app.reports.plots.log import Curve, Log
from app.reports.results import Results, bits_of, score_of, values_by_seed
from app.runs.result import Result
from app.runs.run_folder import Run


def accuracy_by_bits(row: str, places: Sequence[Placement], results: Results) -> Figure | None:
    """Draws mean and deviation of every kind of scheme over its bits, FP32 as a line; None with a single width."""
    kinds: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for place in places:
        runs = results[place.name]
        bits = bits_of(runs[0])
        if bits is not None:
            kind = place.column.replace(f"_int{bits}", "").replace(f"INT{bits} ", "")
            kinds[kind][bits] = list(values_by_seed(runs).values())
    widths = {bits for values in kinds.values() for bits in values if bits != 32}
    if len(widths) < 2:
        return None
    figure = labelled_axes(row, "bits", score_of(results[places[0].name][0]).metric)
    (axes,) = figure.axes
    for kind, values in sorted(kinds.items()):
        if 32 in values:
            axes.axhline(mean(values[32]), color="black", linestyle="--", label=kind)
        else:
            found = dict(sorted(values.items()))
            spread = [stdev(of_width) if len(of_width) > 1 else 0.0 for of_width in found.values()]
            axes.errorbar(
                list(found), [mean(of_width) for of_width in found.values()], spread, marker="o", capsize=3, label=kind
            )
    axes.set_xticks(sorted(widths))
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def error_by_degree(row: str, places: Sequence[Placement], results: Results) -> Figure | None:
    """Draws the share of wrong test nodes by bin of in-degree, all seeds together; None where results have none."""
    shares: dict[str, dict[str, float]] = {}
    for place in places:
        nodes: dict[str, int] = defaultdict(int)
        wrong: dict[str, int] = defaultdict(int)
        for result in results[place.name]:
            for name, counts in (result.get("error_by_degree") or {}).items():
                nodes[name] += counts["nodes"]
                wrong[name] += counts["wrong"]
        if nodes:
            shares[place.column] = {name: 100 * wrong[name] / nodes[name] for name in nodes}
    return lines_over_degrees(row, "wrong test nodes %", shares) if shares else None


def logged_curves(row: str, places: Sequence[Placement], results: Results, *, root: Path, tag: str) -> Figure | None:
    """Draws a logged scalar over epochs, the mean of the seeds with their range; None where no run has a log of it."""
    figure = labelled_axes(row, "epoch", tag)
    (axes,) = figure.axes
    for place in places:
        curves = [epochs_of_training(root, place, result, tag) for result in results[place.name]]
        curves = [curve for curve in curves if len(curve[0])]
        if curves:
            length = min(len(epochs) for epochs, _ in curves)
            epochs, values = curves[0][0][:length], np.array([of_run[:length] for _, of_run in curves])
            (line,) = axes.plot(epochs, values.mean(0), label=f"{place.column} ({len(curves)})")
            axes.fill_between(epochs, values.min(0), values.max(0), alpha=0.15, color=line.get_color())
    if not axes.lines:
        return None
    axes.legend()
    return figure


def scale_curves(place: Placement, result: Result, root: Path) -> Figure | None:
    """Draws the scale of every site over the training of one run; None without such a log."""
    log = Log.of(Run.of(root, place.name, result["seed"]))
    title = f"{place.name}, seed {result['seed']}"
    return None if log is None else lines_of_sites(log, "scale", title, logarithmic=True)


def epochs_of_training(root: Path, place: Placement, result: Result, tag: str) -> Curve:
    """Returns what a run logged of a tag while it trained; older logs have an evaluation behind that."""
    log = Log.of(Run.of(root, place.name, result["seed"]))
    if log is None:
        return np.empty(0), np.empty(0)
    epochs, values = log.curve(tag)
    during = epochs <= result.get("epochs", np.inf)
    return epochs[during], values[during]
