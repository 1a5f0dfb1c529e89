"""The picture of the headline: accuracy against bits, and speed against FP32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from statistics import mean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.reports.headline import HeadlineRow
from app.reports.results import Results, score_of, values_by_seed

KINDS = {"best": "#009e73", "DQ": "#0072b2", "QAT": "#d55e00"}
"""Lines of the first panel, and their colours: each from FP32 over INT8 to INT4."""

WIDTHS = ("FP32", "INT8", "INT4")

LABEL_HEIGHT = 3.2
"""Points of accuracy that a label takes, so that two do not lie on each other."""

ENOUGH_SEEDS = 10
"""Rows with as many runs of everything are drawn; where there are none, all rows."""

BARS = {
    "PyG eager": "#cccccc",
    "best library FP32": "#999999",
    "own FP32": "#555555",
    "INT8": "#0072b2",
    "INT4": "#56b4e9",
}
"""Bars of the second panel, and their colours."""

LABELS = {"gcn": "GCN", "gcn_factored": "GCN, factored", "gin": "GIN", "gat": "GAT"}


def headline_figure(
    rows: Sequence[HeadlineRow], results: Results, measured: Sequence[Mapping[str, Any]]
) -> Figure | None:
    """Draws the mean accuracy over rows by bits and, of measured networks, the speed; None where there is neither.

    Args:
        rows: of the headline; drawn are those with an accuracy of QAT, DQ and the best at both widths.
        results: of all their cells.
        measured: as in the JSON of `benchmark latency`; drawn is its first workload, on the fewest threads.
    """
    lines = accuracy_lines(rows, results)
    speeds = {name: found for name, found in network_speeds(measured).items() if found}
    panels = [bool(lines), bool(speeds)]
    if not any(panels):
        return None
    figure = Figure(figsize=(5.4 * sum(panels), 4.0), layout="constrained")
    axes = list(figure.subplots(1, sum(panels), squeeze=False)[0])
    if lines:
        draw_accuracy(axes[0], lines)
    if speeds:
        draw_speed(axes[-1], speeds, measured[0]["workload"])
    for pane in axes:
        pane.spines[["top", "right"]].set_visible(False)
    return figure


def accuracy_lines(rows: Sequence[HeadlineRow], results: Results) -> dict[str, dict[str, list[float]]]:
    """Returns by row and kind the mean scores at WIDTHS, of the rows that have all of them in accuracy."""
    names = {kind: ("FP32", f"{kind} INT8", f"{kind} INT4") for kind in KINDS}
    needed = {name for triple in names.values() for name in triple}
    complete = [row for row in rows if needed <= row.places.keys()]
    runs = {row.row: {name: results[row.places[name].name] for name in needed} for row in complete}
    runs = {row: found for row, found in runs.items() if score_of(found["FP32"][0]).metric.startswith("accuracy")}
    enough = {row: found for row, found in runs.items() if min(map(len, found.values())) >= ENOUGH_SEEDS}
    return {
        row: {kind: [mean(values_by_seed(found[name]).values()) for name in triple] for kind, triple in names.items()}
        for row, found in (enough or runs).items()
    }


def draw_accuracy(axes: Axes, lines: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draws a line per kind, the mean over rows, and a faint one per row."""
    positions = range(len(WIDTHS))
    means = {kind: [mean(at) for at in zip(*(line[kind] for line in lines.values()), strict=True)] for kind in KINDS}
    above = -inf
    for kind in sorted(KINDS, key=lambda kind: means[kind][-1]):
        colour, last = KINDS[kind], means[kind][-1]
        for line in lines.values():
            axes.plot(positions, line[kind], color=colour, alpha=0.25, linewidth=0.8, marker=".", markersize=4)
        label = "best on validation" if kind == "best" else kind
        axes.plot(positions, means[kind], color=colour, linewidth=2.2, marker="o", label=label, zorder=3)
        above = max(above + LABEL_HEIGHT, last)
        axes.annotate(f"{last:.1f}", (2, last), (2.06, above), va="center", color=colour, fontweight="bold")
    fp32 = means["best"][0]
    axes.axhline(fp32, color="black", linestyle=":", linewidth=1.0)
    axes.annotate(f"{fp32:.1f}", (0, fp32), (0, 7), textcoords="offset points", ha="center", fontweight="bold")
    axes.set_xticks(positions, WIDTHS)
    axes.set_xlim(-0.15, 2.35)
    data_sets = ", ".join(dict.fromkeys(row.partition("/")[0].capitalize() for row in lines))
    axes.set_title(f"Accuracy: mean of {len(lines)} networks ({data_sets})", fontsize="medium", loc="left")
    axes.set_ylabel("test accuracy %")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower left", frameon=False, reverse=True)


def network_speeds(measured: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns by network how many times as fast as PyG eager each of BARS is; nothing where PyG eager was not run."""
    speeds: dict[str, dict[str, float]] = {}
    for result in measured:
        if result["workload"] != measured[0]["workload"]:
            continue
        threads = min(row["threads"] for row in result["rows"])
        rows = {row["name"]: row["ratios"] for row in result["rows"] if row["threads"] == threads}
        found = {name: rows[name]["PyG eager"] for name in BARS if name in rows and rows[name]["PyG eager"]}
        if found:
            ratios = next(iter(rows.values()))
            found["best library FP32"] = ratios["PyG eager"] / ratios["best library FP32"]
        speeds[result["network"]] = found
    return speeds


def draw_speed(axes: Axes, speeds: Mapping[str, Mapping[str, float]], workload: str) -> None:
    """Draws a group of bars per network, each with its value on top."""
    width = 0.85 / len(BARS)
    for number, (name, colour) in enumerate(BARS.items()):
        groups = [group for group, found in enumerate(speeds.values()) if name in found]
        heights = [found[name] for found in speeds.values() if name in found]
        positions = [group + (number - (len(BARS) - 1) / 2) * width for group in groups]
        bars = axes.bar(positions, heights, 0.92 * width, color=colour, label=name)
        axes.bar_label(bars, [f"{height:.1f}" for height in heights], fontsize=7, padding=1)
    axes.set_xticks(range(len(speeds)), [LABELS.get(name, name) for name in speeds])
    axes.set_ylim(top=1.15 * max(max(found.values()) for found in speeds.values()))
    axes.set_title(f"Speed of the engine on {workload}", fontsize="medium", loc="left")
    axes.set_ylabel("times as fast as PyG eager")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="best", frameon=False, fontsize="small")
