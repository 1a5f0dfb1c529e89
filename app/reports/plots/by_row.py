"""Plots of the rows of a table: score by bits, error by in-degree, and what the runs logged while they trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.reports.layout import Placement
from app.reports.plots.by_degree import lines_over_degrees
from app.reports.plots.canvas import labelled_axes
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
        logs = [  # without the evaluation after training, which is logged behind the last epoch
            logged_values(Run.of(root, place.name, result["seed"]), tag)[: result.get("epochs")]
            for result in results[place.name]
        ]
        logs = [log for log in logs if log]
        if logs:
            length = min(len(log) for log in logs)
            values = np.array([log[:length] for log in logs])
            epochs = np.arange(length)
            (line,) = axes.plot(epochs, values.mean(0), label=f"{place.column} ({len(logs)})")
            axes.fill_between(epochs, values.min(0), values.max(0), alpha=0.15, color=line.get_color())
    if not axes.lines:
        return None
    axes.legend()
    return figure


def scale_curves(place: Placement, result: Result, root: Path) -> Figure | None:
    """Draws the scale of every site over the training of one run; None without such a log."""
    log = read_events(Run.of(root, place.name, result["seed"]))
    tags = sorted(tag for tag in log.Tags()["scalars"] if tag.startswith("scale/")) if log else []
    if log is None or not tags:
        return None
    figure = labelled_axes(f"{place.name}, seed {result['seed']}", "epoch", "scale")
    (axes,) = figure.axes
    for tag in tags:
        found = {event.step: event.value for event in log.Scalars(tag)}
        axes.plot(sorted(found), [found[step] for step in sorted(found)], label=tag.removeprefix("scale/"))
    axes.set_yscale("log")
    axes.legend(fontsize="x-small", ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def logged_values(run: Run, tag: str) -> list[float]:
    """Returns the logged value of every epoch; of epochs that a resumed run repeated, the last."""
    log = read_events(run)
    if log is None or tag not in log.Tags()["scalars"]:
        return []
    found = {event.step: event.value for event in log.Scalars(tag)}
    return [found[step] for step in sorted(found)]


def read_events(run: Run) -> EventAccumulator | None:
    """Reads the run's whole TensorBoard log; None if it has none."""
    return EventAccumulator(str(run.board), {"scalars": 0}).Reload() if run.board.is_dir() else None
