"""Plots of results as SVG. Matplotlib is imported here and in latency_plot.py, nowhere else."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.errors import UserError
from app.reports.layout import Place
from app.reports.results import Results, headline, values_by_seed
from app.reports.rows import Rows
from app.runs.run_folder import Run

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ImportError:
    raise UserError("report: plots and HTML need Matplotlib: python -m pip install -e '.[plots]'") from None


def svg(figure: Figure) -> str:
    """The picture, to stand in a page; the same bytes for the same picture."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "degree-quant", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    _, start, picture = text.getvalue().partition("<svg")  # without the XML head
    return start + picture


def empty(title: str, x: str, y: str) -> Figure:
    """Axes with their names."""
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure


def accuracy_by_bits(row: str, places: Sequence[Place], results: Results) -> Figure | None:
    """Mean and deviation of every kind of scheme over its widths, FP32 as a line; None with a single width."""
    kinds: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for place in places:
        runs = results[place.name]
        bits = runs[0].get("bits")
        if bits is not None:
            kind = place.column.replace(f"_int{bits}", "").replace(f"INT{bits} ", "")
            kinds[kind][bits] = list(values_by_seed(runs).values())
    widths = {bits for values in kinds.values() for bits in values if bits != 32}
    if len(widths) < 2:
        return None
    figure = empty(row, "bits", headline(results[places[0].name][0]).name)
    (axes,) = figure.axes
    for kind, values in sorted(kinds.items()):
        if 32 in values:
            axes.axhline(mean(values[32]), color="black", linestyle="--", label=kind)
        else:
            bits = sorted(values)
            spread = [stdev(values[b]) if len(values[b]) > 1 else 0.0 for b in bits]
            axes.errorbar(bits, [mean(values[b]) for b in bits], spread, marker="o", capsize=3, label=kind)
    axes.set_xticks(sorted(widths))
    axes.legend()
    return figure


def error_by_degree(row: str, places: Sequence[Place], results: Results) -> Figure | None:
    """Share of wrong test nodes by bin of in-degree, all seeds together; None where results have none."""
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
    return over_degrees(row, "wrong test nodes %", shares) if shares else None


def over_degrees(title: str, value: str, lines: Mapping[str, Mapping[str, float]]) -> Figure:
    """Lines by name over bins of in-degree (`0`, `1`, `2-3`, ...), the bins of all of them in order."""
    figure = empty(title, "in-degree", value)
    (axes,) = figure.axes
    bins = sorted({name for line in lines.values() for name in line}, key=first_degree)
    for label, line in lines.items():
        names = sorted(line, key=first_degree)
        axes.plot([bins.index(name) for name in names], [line[name] for name in names], marker="o", label=label)
    axes.set_xticks(range(len(bins)), bins, rotation=45)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def first_degree(name: str) -> int:
    """The least in-degree of a bin."""
    return int(name.split("-")[0])


def by_degree(title: str, rows: Rows, value: str) -> Figure:
    """A column of a table by in-degree; a line for every combination of the columns before the in-degree."""
    split, column = rows[0].index("in-degree"), rows[0].index(value)
    lines: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows[1:]:
        lines[" ".join(row[:split])][row[split]] = float(row[column])
    figure = over_degrees(title, value, lines)
    (axes,), values = figure.axes, [v for line in lines.values() for v in line.values()]
    if min(values) > 0:
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=min(abs(v) for v in values if v))
    axes.autoscale()  # the margins were those of a linear axis
    return figure


def curves(row: str, places: Sequence[Place], results: Results, root: Path, tag: str) -> Figure | None:
    """A logged scalar over epochs, the mean of the seeds with their range; None where no run has a log of it."""
    figure = empty(row, "epoch", tag)
    (axes,) = figure.axes
    for place in places:
        logs = [  # without the evaluation after training, which is logged behind the last epoch
            scalar(Run.of(root, place.name, result["seed"]), tag)[: result.get("epochs")]
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


def ranges(place: Place, result: dict[str, Any], root: Path) -> Figure | None:
    """The scale of every site over the training of one run; None without such a log."""
    log = events(Run.of(root, place.name, result["seed"]))
    tags = sorted(tag for tag in log.Tags()["scalars"] if tag.startswith("scale/")) if log else []
    if log is None or not tags:
        return None
    figure = empty(f"{place.name}, seed {result['seed']}", "epoch", "scale")
    (axes,) = figure.axes
    for tag in tags:
        found = {event.step: event.value for event in log.Scalars(tag)}
        axes.plot(sorted(found), [found[step] for step in sorted(found)], label=tag.removeprefix("scale/"))
    axes.set_yscale("log")
    axes.legend(fontsize="x-small", ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def scalar(run: Run, tag: str) -> list[float]:
    """Its value in every epoch; of epochs that a resumed run repeated, the last."""
    log = events(run)
    if log is None or tag not in log.Tags()["scalars"]:
        return []
    found = {event.step: event.value for event in log.Scalars(tag)}
    return [found[step] for step in sorted(found)]


def events(run: Run) -> EventAccumulator | None:
    """The run's TensorBoard log, all of it."""
    return EventAccumulator(str(run.board), {"scalars": 0}).Reload() if run.board.is_dir() else None
