"""Measures peak rates of processor and memory, and what kernels reach of them on a graph, interleaved in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from rich.table import Table

from app.benchmarks.limits.kernels import Timed, kernels_on, product_in_cache
from app.engine import Graph
from app.engine.kernels.floats import LANES, gather_rows
from app.engine.workers import Workers
from app.runs.timing import interleaved

SQUARE = 1024
"""Rows and columns of the float32 product."""

TABLE = 1 << 28
"""Bytes of the table from which rows are gathered, more than caches hold."""

MOVED = 1 << 27
"""Bytes that a call gathers or copies."""


def measure(graph: Graph, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Times peaks, and the kernels on a graph with the self-loops of GCN.

    A copy counts bytes read and written; a gather and a sum over edges only the rows they read. "its rows" only reads
    the rows that the edges name, in their order: a sum over these edges cannot be faster.

    Returns:
        For each the `name`, `threads`, `rate` in its `unit` by its fastest call, its `limit` and the `fraction` of
        that it reaches (both None for peaks).
    """
    torch.set_num_threads(threads)
    workers = Workers(threads)
    candidates = peaks(workers) | kernels_on(graph, workers)
    timings = interleaved({name: timed.call for name, timed in candidates.items()}, repeats, warmup=1)
    rates = {name: timed.work / timings[name].fastest / 1e6 for name, timed in candidates.items()}
    return [
        {
            "name": name, "threads": threads, "rate": rates[name], "unit": timed.unit, "limit": timed.limit,
            "fraction": rates[name] / rates[timed.limit] if timed.limit else None,
        }
        for name, timed in candidates.items()
    ]  # fmt: skip


def peaks(workers: Workers) -> dict[str, Timed]:
    """Matrix products in float32 and in codes, a copy, and gathers of random rows."""
    a, b = torch.randn(2, SQUARE, SQUARE)
    product = torch.empty_like(a)
    rng = np.random.default_rng(0)
    table = np.ones(TABLE // 4, np.int32)
    rows, copied = table[: MOVED // 8].reshape(-1, LANES), np.ones((MOVED // 8 // LANES, LANES), np.int32)
    found = {
        "float32 product": Timed(lambda: torch.mm(a, b, out=product), 2.0 * SQUARE**3, "GFLOP/s"),
        "INT8 in cache": product_in_cache(workers.threads),
        "copy": Timed(
            lambda: workers.run(lambda first, last: np.copyto(copied[first:last], rows[first:last]), len(rows)),
            MOVED,
            "GB/s",
        ),
    }
    for size in (128, 512):
        short, number = table.reshape(-1, size // 4), MOVED // size
        sources, out = rng.integers(0, len(short), number, np.int32), np.empty(number + LANES, np.int32)
        found[f"gather {size} B"] = Timed(gather(short, sources, out, workers), MOVED, "GB/s")
    return found


def gather(table: np.ndarray, sources: np.ndarray, out: np.ndarray, workers: Workers) -> Callable[[], object]:
    """Returns a function that reads the rows `sources` of the table."""
    return lambda: workers.run(lambda first, last: gather_rows(table, sources, out, first, last), len(sources))


def roofline_table(workload: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of `measure`, of one or several numbers of threads, for the screen."""
    table = Table(title=f"peaks, and what kernels reach of them on {workload}")
    for column in ("", "threads", "rate", "share"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        share = f"{100 * row['fraction']:.0f} % of {row['limit']}" if row["limit"] else ""
        table.add_row(row["name"], str(row["threads"]), f"{row['rate']:.1f} {row['unit']}", share)
    return table
