"""Ops through compiled kernels: constants are prepared once, then dense or sparse codes are worked on.

Codes are stored as `kernels` says: uint8 offsets from the smallest code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from app.engine import compiled_edges, dispatch, kernels, sparse
from app.engine.backend import Backend, Run
from app.engine.bound import (
    BoundOp,
    add_multipliers,
    epilogue_constants,
    ratio,
    row_multipliers,
)
from app.engine.dispatch import Codes
from app.engine.features import Features, read_ids
from app.engine.graph import Graph
from app.engine.sparse import SparseRows, is_sparse_enough
from app.engine.step import Step, limits_of, quantized, residual_of, take, zero_of
from app.engine.workers import SERIAL, Workers
from models.quantization.program import Value


def quantize(op: BoundOp, workers: Workers) -> Step:
    """float32 [N, F] -> codes."""
    scale, limits = np.float32(op.grid("output").scale), limits_of(op.grid("output"))

    def dense(graph: Graph, x: np.ndarray) -> Codes:
        return quantized(x, scale, limits, workers)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.filled(quantized(x.values, scale, limits, workers), limits[0])

    return Step(dense, on_stored)


def embedding(op: BoundOp, workers: Workers) -> Step:
    """Ids [N, 1] -> codes of their rows."""
    table = (op.tensors["table"].astype(np.int16) - op.grid("output").qmin).astype(np.uint8)
    return Step(lambda graph, x: table[read_ids(x, len(table))])


def lookup(op: BoundOp, workers: Workers) -> Step:
    """Codes -> the table's entries; sparse rows stay sparse if the table maps zero to zero."""
    table = (op.tensors["table"].astype(np.int16) - op.grid("output").qmin).astype(np.uint8)
    zero, look_up = zero_of(op.grid("output")), _table_step(op, table, workers)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.filled(look_up(x.values), zero)

    return Step(lambda graph, x: look_up(x), on_stored if table[zero_of(op.grid(0))] == zero else None)


def _table_step(op: BoundOp, table: np.ndarray, workers: Workers) -> Callable[[Codes], Codes]:
    """table[codes]; where every entry is the multiple of its code that a change of the grid gives, computed: faster."""
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    multiplier = ratio(op.grid(0).scale, over=op.grid("output").scale)
    computed = np.empty_like(table)
    kernels.rescale(np.arange(table.size, dtype=np.uint8), x_zero, multiplier, *limits, computed)
    if not np.array_equal(computed, table):
        return lambda x: take(table, x, workers)
    return lambda x: dispatch.elementwise(
        dispatch.fastest("rescale"), [x], x_zero, multiplier, *limits, dtype=np.uint8, workers=workers
    )


def linear(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, K] times weight [M, K] -> codes [N, M]."""
    weight = residual_of(op, "weight", "weight_grid")
    by_input = np.ascontiguousarray(weight.T)
    multiplier, addend = epilogue_constants(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    multiply = dispatch.linear(weight, x_zero, op.grid(0).qmax - op.grid(0).qmin, addend, limits, workers)

    def dense(graph: Graph, x: Codes) -> Codes:
        return multiply(x, row_multipliers(op, multiplier, graph))

    def on_stored(graph: Graph, x: SparseRows) -> Codes:
        multipliers = row_multipliers(op, multiplier, graph)
        return sparse.sparse_linear(x.indptr, x.columns, x.values, x_zero, by_input, multipliers, addend, *limits)

    return Step(dense, on_stored)


def requantize(op: BoundOp, workers: Workers) -> Step:
    """Codes -> codes on another grid; sparse rows stay sparse if there is no bias."""
    multiplier, addend = epilogue_constants(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))

    multipliers = np.broadcast_to(multiplier, addend.shape).astype(np.float32)

    def dense(graph: Graph, x: Codes) -> Codes:
        return dispatch.requantize(x, x_zero, multipliers, addend, limits, workers)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        constants = x_zero, multipliers[0], *limits
        values = dispatch.elementwise(
            dispatch.fastest("rescale"), [x.values], *constants, dtype=np.uint8, workers=workers
        )
        return x.filled(values, limits[0])

    return Step(dense, None if addend.any() or "scale" in op.tensors else on_stored)


def add(op: BoundOp, workers: Workers) -> Step:
    """Two times codes or more -> codes of their weighted sum."""
    if len(op.inputs) > 2:
        return _add_many(op, workers)
    constants = zero_of(op.grid(0)), zero_of(op.grid(1)), *add_multipliers(op), *limits_of(op.grid("output"))
    zero = zero_of(op.grid("output"))

    def dense(graph: Graph, a: Codes, b: Codes) -> Codes:
        return dispatch.elementwise(dispatch.fastest("add"), [a, b], *constants, dtype=np.uint8, workers=workers)

    def on_stored(graph: Graph, a: SparseRows, b: SparseRows) -> Codes | SparseRows:
        if not is_sparse_enough(a.values.size + b.values.size, graph.num_nodes, a.width):
            return dense(graph, a.dense(), b.dense())
        operands = (a.indptr, a.columns, a.values, b.indptr, b.columns, b.values, a.width)
        return SparseRows(a.width, zero, *sparse.sparse_add(*operands, *constants))

    return Step(dense, on_stored)


def _add_many(op: BoundOp, workers: Workers) -> Step:
    constants = [(zero_of(op.grid(i)), multiplier) for i, multiplier in enumerate(add_multipliers(op))]
    limits = limits_of(op.grid("output"))

    def dense(graph: Graph, *inputs: Codes) -> Codes:
        total = np.zeros(inputs[0].size, np.float32)
        for x, (zero, multiplier) in zip(inputs, constants, strict=True):
            kernels.accumulate(x.reshape(-1), zero, multiplier, total)
        return quantized(total.reshape(inputs[0].shape), np.float32(1), limits, workers)

    return Step(dense)


def dequantize(op: BoundOp, workers: Workers) -> Step:
    """Codes -> float32."""
    constants = zero_of(op.grid(0)), np.float32(op.grid(0).scale)

    def dense(graph: Graph, x: Codes) -> np.ndarray:
        return dispatch.elementwise(dispatch.fastest("dequantize"), [x], *constants, dtype=np.float32, workers=workers)

    return Step(dense)


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


def _densify(value: Any) -> np.ndarray:
    return value.dense() if isinstance(value, SparseRows) else value


def _runner(step: Step) -> Run:
    def run(graph: Graph, *inputs: Any) -> Any:
        if step.sparse is not None and all(isinstance(value, SparseRows) for value in inputs):
            return step.sparse(graph, *inputs)
        return step.dense(graph, *map(_densify, inputs))

    return run


def _prepare(op: BoundOp, workers: Workers = SERIAL) -> Run:
    return _runner(OPS[op.op.kind](op, workers))


def _read(x: Features) -> np.ndarray | SparseRows:
    if isinstance(x, np.ndarray):
        return sparse.compress(x)
    return SparseRows(x.shape[1], 0, x.indptr.astype(np.int64), x.indices.astype(np.int32), x.data)


def _export(value: Any, declared: Value) -> np.ndarray:
    dense = _densify(value)
    if declared.grid is None:
        return dense
    dtype = np.int8 if declared.grid.signed else np.uint8
    return (dense.astype(np.int16) + declared.grid.qmin).astype(dtype)


def _take_codes(codes: np.ndarray, declared: Value) -> Codes:
    assert declared.grid is not None, f"{declared.name} is not coded"
    return (codes.astype(np.int16) - declared.grid.qmin).astype(np.uint8)


COMPILED = Backend(
    read=_read,
    prepare=_prepare,
    messages=lambda op: _runner(compiled_edges.messages(op)),
    export=_export,
    take=_take_codes,
)
