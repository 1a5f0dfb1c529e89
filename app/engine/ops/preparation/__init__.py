"""Ops that prepare raw features before they are quantized, exactly as training prepared them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...features import Features
from ...graph import Graph
from ...kernels import preparation as kernels
from ...kernels.sparse import SparseRows, densified
from ...program.grid import count_saturated
from ...program.model import IntegerProgram
from ...program.preparation import features_of, preparing
from ...workers import Workers
from ..bound import BoundOp
from ..step import FLAT_OUT, OUT, Call, Step, X


def constants_of(op: BoundOp) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and deviation of every column [W] of a standardize, in the dtype in which it is computed."""
    dtype = np.float32 if op.attributes.get("single", False) else np.float64
    return np.array(op.attributes["mean"], dtype), np.array(op.attributes["deviation"], dtype)


def row_normalize(op: BoundOp, workers: Workers) -> Step:
    """Prepares row_normalize: float32 [N, F] -> the same, each row divided by its sum; sparse rows stay sparse."""

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        shares = np.empty_like(x.values)
        kernels.row_normalize_stored(x.indptr, x.values, shares)
        return x.with_values(shares, 0)

    return Step((Call(kernels.row_normalize, (X, OUT)),), sparse=on_stored)


def standardize(op: BoundOp, workers: Workers) -> Step:
    """Prepares standardize: float32 [N, F] -> (x - mean) / deviation, column by column."""
    return Step((Call(kernels.standardize, (X, *constants_of(op), OUT)),))


def in_degree(op: BoundOp, workers: Workers) -> Step:
    """Prepares in_degree: -> the in-degree of every node [N, 1], float32."""
    return Step((Call(kernels.to_floats, (op.of_edges("degrees"), FLAT_OUT)),))


def reference_row_normalize(op: BoundOp, graph: Graph | None, x: np.ndarray) -> np.ndarray:
    """Defines row_normalize."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        totals = np.add.accumulate(x, axis=1, dtype=np.float64)[:, -1:].astype(np.float32)
        shares: np.ndarray = x / np.where(totals == 0, np.float32(1), totals)
    return shares


def reference_standardize(op: BoundOp, graph: Graph | None, x: np.ndarray) -> np.ndarray:
    """Defines standardize."""
    mean, deviation = constants_of(op)
    with np.errstate(over="ignore", invalid="ignore"):
        standardized: np.ndarray = ((x.astype(mean.dtype) - mean) / deviation).astype(np.float32)
    return standardized


def reference_in_degree(op: BoundOp, graph: Graph) -> np.ndarray:
    """Defines in_degree."""
    degrees: np.ndarray = op.adjacency(graph).degrees[:, None].astype(np.float32)
    return degrees


REFERENCE = {"row_normalize": reference_row_normalize, "standardize": reference_standardize}
"""The definitions of the ops that prepare the features given."""


def share_saturated(program: IntegerProgram, x: Features) -> float:
    """Returns the share of features that lie beyond the input grid when they are prepared; see `Executable.saturated`.

    0 where features have no grid, or are made of the graph.
    """
    read, size = features_of(program), len(x) * program.in_features
    grids = [program.values[op.output].grid for op in program.ops if op.kind == "quantize" and read in op.inputs]
    if not size:
        return 0.0
    x = _prepared([BoundOp.bind(op, program) for op in preparing(program)], x)
    values = x if isinstance(x, np.ndarray) else x.values
    return max((count_saturated(values, grid) / size for grid in grids if grid is not None), default=0.0)


def _prepared(ops: Sequence[BoundOp], x: Features) -> Features:
    """Returns features after some of REFERENCE's ops; rows that are sparse stay so where an op allows it."""
    for op in ops:
        if isinstance(x, SparseRows) and op.op.kind == "row_normalize":
            step = row_normalize(op, Workers())
            assert step.sparse is not None
            x = step.sparse(None, x)
        else:
            x = REFERENCE[op.op.kind](op, None, densified(x))
    return x
