"""Measures peak rates of processor and memory, and what kernels reach of them on a graph, interleaved in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.table import Table

from app.engine import Graph
from app.engine.kernels import dispatch
from app.engine.kernels import floats as float_kernels
from app.engine.kernels.common import INT32
from app.engine.kernels.floats import LANES, gather_rows
from app.engine.workers import Part, Workers
from app.runs.timing import interleaved

WIDTH = 128
"""Of the rows, as in `benchmark latency`: 128 bytes of codes, 512 of float32."""

SQUARE = 1024
"""Rows and columns of the float32 product."""

CACHED = 1024, 128, 128
"""Rows, inputs and outputs of the product of codes that stays in a core's cache."""

PRODUCTS = 100
"""Such products in a call: a processor needs a while to reach its speed with wide vectors."""

TABLE = 1 << 28
"""Bytes of the table from which rows are gathered, more than caches hold."""

MOVED = 1 << 27
"""Bytes that a call gathers or copies."""

ZERO = 128
"""Zero point of codes read and written, as an offset."""

LIMITS = (ZERO, np.float32(-128), np.float32(127))
"""Zero, lowest and highest of the codes written."""


class Timed(NamedTuple):
    """A call to be timed: it does `work` operations or moves so many bytes; `limit`: the peak it is compared with."""

    call: Callable[[], object]
    work: float
    unit: str
    limit: str | None = None


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


def product_in_cache(threads: int) -> Timed:
    """Products of codes in which every thread has its own matrices."""
    rows, depth, width = CACHED
    multiply = linear(depth, width)
    inputs, factors = [codes(rows, depth) for _ in range(threads)], np.ones(rows, np.float32)
    pool = ThreadPoolExecutor(threads)

    def products(x: np.ndarray) -> None:
        out = np.empty((rows, width), np.uint8)
        for _ in range(PRODUCTS):
            multiply(x, factors, out)

    def call() -> None:
        list(pool.map(products, inputs))

    return Timed(call, 2.0 * PRODUCTS * threads * rows * depth * width, "GOP/s")


def linear(depth: int, width: int) -> dispatch.Kernel:
    """The engine's linear kernel with random weights [width, depth]."""
    weight = np.random.default_rng(1).integers(-128, 128, (width, depth)).astype(np.int16)
    epilogue = np.full(width, 1e-3, np.float32), np.zeros(width, np.float32)
    kernel, of_weight, behind = dispatch.linear(weight, ZERO, largest=255, epilogue=epilogue, limits=LIMITS)
    return lambda x, factors, out: kernel(x, *of_weight, factors, *behind, out)


def codes(rows: int, width: int) -> np.ndarray:
    """Random codes [rows, width]."""
    return np.random.default_rng(2).integers(0, 256, (rows, width), np.uint8)


def kernels_on(graph: Graph, workers: Workers) -> dict[str, Timed]:
    """The kernels of the engine, and the sum of the FP32 peer, on rows of WIDTH."""
    edges, nodes = graph.adjacency(self_loops=True), graph.num_nodes
    x, coded = codes(nodes, WIDTH), np.empty((nodes, WIDTH), np.uint8)
    floats, summed = np.ones((nodes, WIDTH), np.float32), np.empty((nodes, WIDTH), np.float32)
    factors = edges.norm[:, None]
    one, ones, bias = np.float32(1), np.ones(nodes, np.float32), np.zeros(WIDTH, np.float32)
    read = np.empty(edges.num_edges + LANES, np.int32)
    multiply, add_up, add_messages = (
        linear(WIDTH, WIDTH),
        dispatch.sum_rows(WIDTH, INT32),
        dispatch.weighted_sum(WIDTH, 1.0, INT32),
    )

    def product(first: int, last: int) -> None:
        multiply(x[first:last], ones[first:last], coded[first:last])

    def code_sum(first: int, last: int) -> None:
        indptr, sources, _ = edges_of(first, last)
        add_up(x, ZERO, indptr, sources, np.float32(0.3), ones[first:last], *LIMITS, coded[first:last])

    def message_sum(first: int, last: int) -> None:
        indptr, sources, coefficients = edges_of(first, last)
        add_messages(x, ZERO, coefficients, one, indptr, sources, *LIMITS[1:], one, *LIMITS, coded[first:last])

    def float_sum(first: int, last: int) -> None:
        arguments = floats, factors, edges.indptr, edges.sources, bias, np.float32(0), summed
        float_kernels.edge_sum(*arguments, first, last)

    def edges_of(first: int, last: int) -> tuple[np.ndarray, ...]:
        part = slice(edges.indptr[first], edges.indptr[last])
        return edges.indptr[first : last + 1], edges.sources[part], factors[part]

    def rows_of(table: np.ndarray) -> Part:
        def part(first: int, last: int) -> None:
            gather_rows(table.view(np.int32), edges.sources, read, *edges.indptr[[first, last]])

        return part

    def call(part: Part, result: np.ndarray) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            workers.run(part, nodes, edges.work)
            return result

        return run

    code_rows, float_rows = "its rows, 128 B", "its rows, 512 B"
    gathered, operations = float(WIDTH * edges.num_edges), 2.0 * nodes * WIDTH**2
    return {
        code_rows: Timed(call(rows_of(x), read), gathered, "GB/s"),
        float_rows: Timed(call(rows_of(floats), read), 4 * gathered, "GB/s"),
        "INT8 linear": Timed(call(product, coded), operations, "GOP/s", "INT8 in cache"),
        "INT8 sum": Timed(call(code_sum, coded), gathered, "GB/s", code_rows),
        "INT8 weighted sum": Timed(call(message_sum, coded), gathered, "GB/s", code_rows),
        "own FP32 weighted sum": Timed(call(float_sum, summed), 4 * gathered, "GB/s", float_rows),
    }


def roofline_table(workload: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of `measure`, of one or several numbers of threads, for the screen."""
    table = Table(title=f"peaks, and what kernels reach of them on {workload}")
    for column in ("", "threads", "rate", "share"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        share = f"{100 * row['fraction']:.0f} % of {row['limit']}" if row["limit"] else ""
        table.add_row(row["name"], str(row["threads"]), f"{row['rate']:.1f} {row['unit']}", share)
    return table
