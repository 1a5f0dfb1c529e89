"""The linear layers of readouts: of sums over graphs that have no codes, and to logits that have none.

Their rows are graphs, few beside the nodes: the products are NumPy's in float64, which are exact for these integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Graph
from ..program.grid import quantize
from .bound import BoundOp, column_constants, row_factors
from .step import Block, ComputeBlock, Step, residual_of, stored_codes, zero_of


def of_accumulators(op: BoundOp) -> Step:
    """Prepares a linear that is pooled, or has a float32 output: codes [N, K] -> codes or float32 [N or G, M]."""
    weight = residual_of(op, "weight", "weight_grid").astype(np.float64).T
    multipliers, addend = column_constants(op)
    zero, grid = zero_of(op.grid(0)), op.output.grid

    def multiply(rows: np.ndarray, factors: np.ndarray, others: tuple[np.ndarray, ...], out: np.ndarray) -> None:
        acc = (rows.astype(np.float64) @ weight).astype(np.float32)
        with np.errstate(over="ignore"):
            values = acc * (multipliers * factors[:, None]) + addend
        if grid is None:
            out[:] = sum(others, values)
        else:
            out[:] = stored_codes(quantize(values, np.float32(1), grid.zero_point, grid.qmin, grid.qmax), grid)

    def start(graph: Graph) -> ComputeBlock:
        factors = row_factors(op, graph)

        def compute(block: Block, x: np.ndarray, *others: np.ndarray) -> None:
            *added, out = others
            multiply(x.astype(np.int64) - zero, factors[block.rows], tuple(added), out)

        return compute

    def start_pooled(graph: Graph, x: np.ndarray) -> ComputeBlock:
        members, factors = graph.members, row_factors(op, graph)

        def compute(block: Block, *others: np.ndarray) -> None:
            *added, out = others
            sums = sums_of_rows(x, members.sources[block.edges], members.indptr[block.ends])
            rows = sums - zero * members.degrees[block.rows, None].astype(np.int64)
            multiply(rows, factors[block.rows], tuple(added), out)

        return compute

    starts: Callable[..., Any] = start_pooled if op.pools else start
    return Step(starts, (0,) if op.pools else ())


def sums_of_rows(x: np.ndarray, sources: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns the sums, int64 [n, F], of the rows of x that `sources` lists between neighbouring `ends` [n + 1]."""
    sums = np.zeros((len(ends) - 1, x.shape[1]), np.int64)
    filled = np.flatnonzero(np.diff(ends))
    if filled.size:
        sums[filled] = np.add.reduceat(x[sources], ends[filled] - ends[0], axis=0, dtype=np.int64)
    return sums
