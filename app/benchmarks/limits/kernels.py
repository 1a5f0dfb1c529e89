"""The engine's kernels as calls to be timed, each with its work and the limit that it is compared with.

Imports no torch: processes that time kernels start in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from app.engine import Graph
from app.engine.kernels import dispatch
from app.engine.kernels import floats as float_kernels
from app.engine.kernels.common import INT32
from app.engine.kernels.floats import LANES, gather_rows
from app.engine.workers import Part, Workers

WIDTH = 128
"""Of the rows, as in `benchmark latency`: 128 bytes of codes, 512 of float32."""

CACHED = 1024, 128, 128
"""Rows, inputs and outputs of the product of codes that stays in a core's cache."""

PRODUCTS = 100
"""Such products in a call: a processor needs a while to reach its speed with wide vectors."""

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
        add_up(x, ZERO, indptr, sources, np.float32(0.3), None, ones[first:last], *LIMITS, coded[first:last])

    def message_sum(first: int, last: int) -> None:
        indptr, sources, coefficients = edges_of(first, last)
        add_messages(x, ZERO, coefficients, one, indptr, sources, *LIMITS[1:], one, None, *LIMITS, coded[first:last])

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
