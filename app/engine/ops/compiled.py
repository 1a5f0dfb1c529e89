"""Ops through compiled kernels: constants are prepared once, then dense or sparse codes are worked on.

Codes are stored as `kernels` says: uint8 offsets from the smallest code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..features import NOT_FINITE, Features, read_ids
from ..graph import Graph
from ..kernels import dispatch, sparse
from ..kernels import plain as kernels
from ..kernels.dispatch import Codes
from ..kernels.sparse import SparseRows, densified, is_sparse_enough
from ..program.model import Value
from ..workers import Workers
from . import edges as compiled_edges
from .backend import Backend, Stage
from .bound import BoundOp, add_multipliers, column_constants, ratio, row_factors
from .packed_rows import unpacked
from .stages import fused
from .step import Block, Rows, Step, limits_of, on_rows, on_values, residual_of, zero_of


def quantize(op: BoundOp, workers: Workers) -> Step:
    """float32 [N, F] -> codes."""
    constants = np.float32(op.grid("output").scale), *limits_of(op.grid("output"))
    kernel, zero = dispatch.fastest("quantize"), zero_of(op.grid("output"))

    def finite(x: np.ndarray, *others: Any) -> None:
        if not kernel(x, *others):
            raise ValueError(NOT_FINITE)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.filled(on_values(finite, x.values, *constants, workers=workers), zero)

    return Step(on_rows(finite, *constants), sparse=on_stored)


def embedding(op: BoundOp, workers: Workers) -> Step:
    """Ids [N, 1] -> codes of their rows."""
    table = (op.tensors["table"].astype(np.int16) - op.grid("output").qmin).astype(np.uint8)

    def rows(block: Block, x: np.ndarray, out: Codes) -> None:
        np.take(table, read_ids(x, len(table)), axis=0, out=out)

    return Step(lambda graph: rows)


def lookup(op: BoundOp, workers: Workers) -> Step:
    """Codes -> the table's entries; sparse rows stay sparse if the table maps zero to zero."""
    table = (op.tensors["table"].astype(np.int16) - op.grid("output").qmin).astype(np.uint8)
    zero, (kernel, *constants) = zero_of(op.grid("output")), _of_table(op, table)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.filled(on_values(kernel, x.values, *constants, workers=workers), zero)

    return Step(on_rows(kernel, *constants), sparse=on_stored if table[zero_of(op.grid(0))] == zero else None)


def _of_table(op: BoundOp, table: np.ndarray) -> tuple[Any, ...]:
    """Kernel and constants of table[codes].

    Where every entry is the multiple of its code that a change of the grid gives, it is computed: that is faster, but
    for tables of sixteen.
    """
    if table.size <= 16:
        return dispatch.fastest("lookup"), np.resize(table, 16)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    multiplier = ratio(op.grid(0).scale, over=op.grid("output").scale)
    computed = np.empty_like(table)
    kernels.rescale(np.arange(table.size, dtype=np.uint8), x_zero, multiplier, *limits, computed)
    if not np.array_equal(computed, table):
        return kernels.lookup, table
    return dispatch.fastest("rescale"), x_zero, multiplier, *limits


def linear(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, K] times weight [M, K] -> codes [N, M]."""
    weight = residual_of(op, "weight", "weight_grid")
    by_input = np.ascontiguousarray(weight.T)
    epilogue = column_constants(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    multiply = dispatch.linear(weight, x_zero, op.grid(0).qmax - op.grid(0).qmin, epilogue, limits)

    def start(graph: Graph) -> Rows:
        factors = row_factors(op, graph)
        return lambda block, x, out: multiply(x, factors[block.rows], out)

    def on_stored(graph: Graph, x: SparseRows) -> Codes:
        operands = x.indptr, x.columns, x.values, x_zero, by_input
        return sparse.sparse_linear(*operands, row_factors(op, graph), *epilogue, *limits)

    return Step(start, sparse=on_stored)


def requantize(op: BoundOp, workers: Workers) -> Step:
    """Codes -> codes on another grid; sparse rows stay sparse if there is no bias."""
    multipliers, addend = column_constants(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    kernel = dispatch.requantize(addend.size)

    def rows(block: Block, x: Codes, out: Codes) -> None:
        kernel(x, x_zero, multipliers, addend, *limits, out)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        constants = x_zero, multipliers[0], *limits
        return x.filled(on_values(dispatch.fastest("rescale"), x.values, *constants, workers=workers), limits[0])

    return Step(lambda graph: rows, sparse=None if addend.any() or "scale" in op.tensors else on_stored)


def add(op: BoundOp, workers: Workers) -> Step:
    """Two times codes or more -> codes of their weighted sum."""
    if len(op.inputs) > 2:
        return _add_many(op)
    constants = zero_of(op.grid(0)), zero_of(op.grid(1)), *add_multipliers(op), *limits_of(op.grid("output"))
    zero = zero_of(op.grid("output"))

    def on_stored(graph: Graph, a: SparseRows, b: SparseRows) -> SparseRows | None:
        if not is_sparse_enough(a.values.size + b.values.size, graph.num_nodes, a.width):
            return None
        operands = (a.indptr, a.columns, a.values, b.indptr, b.columns, b.values, a.width)
        return SparseRows(a.width, zero, *sparse.sparse_add(*operands, *constants))

    return Step(on_rows(dispatch.fastest("add"), *constants), sparse=on_stored)


def _add_many(op: BoundOp) -> Step:
    constants = [(zero_of(op.grid(i)), multiplier) for i, multiplier in enumerate(add_multipliers(op))]
    limits, kernel = limits_of(op.grid("output")), dispatch.fastest("quantize")

    def rows(block: Block, *arrays: Codes) -> None:
        *inputs, out = (array.reshape(-1) for array in arrays)
        total = np.zeros(out.size, np.float32)
        for x, (zero, multiplier) in zip(inputs, constants, strict=True):
            kernels.accumulate(x, zero, multiplier, total)
        kernel(total, np.float32(1), *limits, out)

    return Step(lambda graph: rows)


def dequantize(op: BoundOp, workers: Workers) -> Step:
    """Codes -> float32."""
    return Step(on_rows(dispatch.fastest("dequantize"), zero_of(op.grid(0)), np.float32(op.grid(0).scale)))


OPS: Mapping[str, Callable[[BoundOp, Workers], Step]] = {
    "quantize": quantize,
    "embedding": embedding,
    "lookup": lookup,
    "linear": linear,
    "requantize": requantize,
    "add": add,
    "sum": compiled_edges.sum_,
    "edge_norm": compiled_edges.edge_norm,
    "weighted_sum": compiled_edges.weighted_sum,
    "attention_logits": compiled_edges.attention_logits,
    "edge_softmax": compiled_edges.edge_softmax,
    "pool": compiled_edges.pool,
    "dequantize": dequantize,
}


def _read(x: Features) -> np.ndarray | SparseRows:
    if isinstance(x, np.ndarray):
        return sparse.compress(x)
    return SparseRows(x.shape[1], 0, x.indptr.astype(np.int64), x.indices.astype(np.int32), x.data)


def _export(value: Any, declared: Value) -> np.ndarray:
    dense = unpacked(densified(value))
    if declared.grid is None:
        return dense
    dtype = np.int8 if declared.grid.signed else np.uint8
    return (dense.astype(np.int16) + declared.grid.qmin).astype(dtype)


def _take_codes(codes: np.ndarray, declared: Value) -> Codes:
    assert declared.grid is not None, f"{declared.name} is not coded"
    return (codes.astype(np.int16) - declared.grid.qmin).astype(np.uint8)


def _stages(ops: Sequence[BoundOp], workers: Workers, together: bool) -> Sequence[Stage]:
    return fused([(op, OPS[op.op.kind](op, workers)) for op in ops], workers, together)


COMPILED = Backend(read=_read, stages=_stages, messages=compiled_edges.messages, export=_export, take=_take_codes)
