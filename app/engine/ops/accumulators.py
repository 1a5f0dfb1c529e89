"""The linear layers of readouts: of sums over graphs that have no codes, and to logits that have none.

Their rows are graphs, few beside the nodes: the products are NumPy's in float64, which are exact for these integers.
"""

from __future__ import annotations

import numpy as np

from ..graph import Graph
from ..program.grid import quantize
from .bound import BoundOp, column_constants, row_factors
from .step import OUT, WHOLE_X, Call, Operand, Step, X, residual_of, stored_codes, zero_of


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

    factors = row_factors(op)
    added = tuple(Operand("input", i) for i in range(1, len(op.inputs)))

    def compute(x: np.ndarray, of_rows: np.ndarray, *others: np.ndarray) -> None:
        *terms, out = others
        multiply(x.astype(np.int64) - zero, of_rows, tuple(terms), out)

    def compute_pooled(x: np.ndarray, ends: np.ndarray, sources: np.ndarray, *others: np.ndarray) -> None:
        of_rows, *terms, out = others
        rows = sums_of_rows(x, sources, ends) - zero * np.diff(ends)[:, None]
        multiply(rows, of_rows, tuple(terms), out)

    def begin(graph: Graph, *gathered: np.ndarray) -> tuple[Call, ...]:
        if not op.pools:
            return (Call(compute, (X, factors, *added, OUT)),)
        edges = op.of_edges("indptr", "ends"), op.of_edges("sources", "edges")
        return (Call(compute_pooled, (WHOLE_X, *edges, factors, *added, OUT)),)

    return Step(gathers=(0,) if op.pools else (), begin=begin)


def sums_of_rows(x: np.ndarray, sources: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns the sums, int64 [n, F], of the rows of x that `sources` lists between neighbouring `ends` [n + 1]."""
    sums = np.zeros((len(ends) - 1, x.shape[1]), np.int64)
    filled = np.flatnonzero(np.diff(ends))
    if filled.size:
        sums[filled] = np.add.reduceat(x[sources], ends[filled] - ends[0], axis=0, dtype=np.int64)
    return sums
