"""Latencies of networks as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from app.reports.plots.canvas import png

Measured = Sequence[Mapping[str, Any]]
"""As in the JSON of `benchmark latency`: workload, network and rows."""

REFERENCE = "PyG eager"


def speedups(results: Measured) -> Figure:
    """Draws a group of bars for every workload and network, with a bar for every candidate and number of threads.

    A bar is how many times as long PyG eager takes with as many threads, on a logarithmic axis. Where PyG eager was not
    run there are no bars, and the name of the group says so.
    """
    bars = list(dict.fromkeys((row["name"], row["threads"]) for result in results for row in result["rows"]))
    several = len({threads for _, threads in bars}) > 1
    figure = Figure(figsize=(2 + 0.25 * len(bars) * len(results), 4.5))
    axes = figure.subplots()
    for number, (name, threads) in enumerate(bars):
        positions, heights = [], []
        for group, result in enumerate(results):
            rows = [row for row in result["rows"] if (row["name"], row["threads"]) == (name, threads)]
            if rows and rows[0]["ratios"][REFERENCE]:
                positions.append(group + (number + 0.5) / (len(bars) + 1) - 0.5)
                heights.append(rows[0]["ratios"][REFERENCE])
        axes.bar(positions, heights, 0.9 / (len(bars) + 1), label=f"{name}, {threads} threads" if several else name)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}x")
    axes.yaxis.set_minor_formatter("{x:g}x")
    axes.set_ylabel(f"{REFERENCE} / this (fastest calls)")
    axes.set_xticks(range(len(results)), [label(result) for result in results], fontsize="small")
    axes.grid(axis="y", which="both", alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def speedups_png(results: Measured) -> bytes:
    """Returns that picture as PNG."""
    return png(speedups(results))


def label(result: Mapping[str, Any]) -> str:
    """Returns network and workload on lines of their own, and whether there is nothing to compare with."""
    run = any(row["name"] == REFERENCE for row in result["rows"])
    return f"{result['network']}\n{result['workload']}" + ("" if run else f"\n({REFERENCE} not run)")
