"""Ops through compiled kernels: constants are prepared once, then dense or sparse codes are worked on.

Codes are stored as `kernels` says: uint8 offsets from the smallest code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from app.engine import dispatch, kernels, sparse
from app.engine.backend import Backend, Run
from app.engine.bound import (
    BoundOp,
    add_multipliers,
    dequantized,
    epilogue_constants,
    leaky_values,
    message_multiplier,
    row_multipliers,
)
from app.engine.features import Features, read_ids
from app.engine.graph import Graph
from app.engine.sparse import SparseRows, is_sparse_enough
from app.engine.workers import SERIAL, Workers
from models.quantization.functional import Grid
from models.quantization.program import Value

Codes = np.ndarray
Limits = tuple[int, np.float32, np.float32]


class Step(NamedTuple):
    """A prepared op on dense inputs and, where it has one, its form for inputs that are all sparse."""

    dense: Run
    sparse: Run | None = None


def _zero(grid: Grid) -> int:
    return grid.zero_point - grid.qmin


def _limits(grid: Grid) -> Limits:
    """The last three arguments of kernels that write codes."""
    return _zero(grid), np.float32(grid.qmin - grid.zero_point), np.float32(grid.qmax - grid.zero_point)


def _take(table: np.ndarray, codes: Codes, workers: Workers = SERIAL) -> np.ndarray:
    return dispatch.elementwise(kernels.lookup, [codes], table, dtype=table.dtype, workers=workers)


def _quantize(x: np.ndarray, scale: np.float32, limits: Limits, workers: Workers) -> Codes:
    return dispatch.elementwise(kernels.quantize, [x], scale, *limits, dtype=np.uint8, workers=workers)


def _residual(op: BoundOp, role: str, grid: str) -> np.ndarray:
    return op.tensors[role].astype(np.int16) - np.int16(op.grid(grid).zero_point)


def quantize(op: BoundOp, workers: Workers) -> Step:
    """float32 [N, F] -> codes."""
    scale, limits = np.float32(op.grid("output").scale), _limits(op.grid("output"))

    def dense(graph: Graph, x: np.ndarray) -> Codes:
        return _quantize(x, scale, limits, workers)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.filled(_quantize(x.values, scale, limits, workers), limits[0])

    return Step(dense, on_stored)


def embedding(op: BoundOp, workers: Workers) -> Step:
    """Ids [N, 1] -> codes of their rows."""
    table = (op.tensors["table"].astype(np.int16) - op.grid("output").qmin).astype(np.uint8)
    return Step(lambda graph, x: table[read_ids(x, len(table))])


def lookup(op: BoundOp, workers: Workers) -> Step:
    """Codes -> the table's entries; sparse rows stay sparse if the table maps zero to zero."""
    table = (op.tensors["table"].astype(np.int16) - op.grid("output").qmin).astype(np.uint8)
    zero = _zero(op.grid("output"))

    def dense(graph: Graph, x: Codes) -> Codes:
        return _take(table, x, workers)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        return x.filled(_take(table, x.values, workers), zero)

    return Step(dense, on_stored if table[_zero(op.grid(0))] == zero else None)


def linear(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, K] times weight [M, K] -> codes [N, M]."""
    weight = _residual(op, "weight", "weight_grid")
    by_input = np.ascontiguousarray(weight.T)
    multiplier, addend = epilogue_constants(op)
    x_zero, limits = _zero(op.grid(0)), _limits(op.grid("output"))
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
    x_zero, limits = _zero(op.grid(0)), _limits(op.grid("output"))

    if "scale" in op.tensors:
        constants = x_zero, multiplier, addend, *limits
        return Step(lambda graph, x: dispatch.rowwise(kernels.requantize_features, x, *constants, workers=workers))

    def dense(graph: Graph, x: Codes) -> Codes:
        return dispatch.rowwise(kernels.requantize, x, x_zero, multiplier, addend, *limits, workers=workers)

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows:
        constants, column = (x_zero, multiplier, addend[:1], *limits), x.values.reshape(-1, 1)
        return x.filled(
            dispatch.rowwise(kernels.requantize, column, *constants, workers=workers).reshape(-1), limits[0]
        )

    return Step(dense, None if addend.any() else on_stored)


def add(op: BoundOp, workers: Workers) -> Step:
    """Two times codes or more -> codes of their weighted sum."""
    if len(op.inputs) > 2:
        return _add_many(op, workers)
    constants = _zero(op.grid(0)), _zero(op.grid(1)), *add_multipliers(op), *_limits(op.grid("output"))
    zero = _zero(op.grid("output"))

    def dense(graph: Graph, a: Codes, b: Codes) -> Codes:
        return dispatch.elementwise(kernels.add, [a, b], *constants, dtype=np.uint8, workers=workers)

    def on_stored(graph: Graph, a: SparseRows, b: SparseRows) -> Codes | SparseRows:
        if not is_sparse_enough(a.values.size + b.values.size, graph.num_nodes, a.width):
            return dense(graph, a.dense(), b.dense())
        operands = (a.indptr, a.columns, a.values, b.indptr, b.columns, b.values, a.width)
        return SparseRows(a.width, zero, *sparse.sparse_add(*operands, *constants))

    return Step(dense, on_stored)


def _add_many(op: BoundOp, workers: Workers) -> Step:
    constants = [(_zero(op.grid(i)), multiplier) for i, multiplier in enumerate(add_multipliers(op))]
    limits = _limits(op.grid("output"))

    def dense(graph: Graph, *inputs: Codes) -> Codes:
        total = np.zeros(inputs[0].size, np.float32)
        for x, (zero, multiplier) in zip(inputs, constants, strict=True):
            kernels.accumulate(x.reshape(-1), zero, multiplier, total)
        return _quantize(total.reshape(inputs[0].shape), np.float32(1), limits, workers)

    return Step(dense)


def sum_(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, F] -> codes of their sums over the edges into each node."""
    multiplier, _ = epilogue_constants(op)
    x_zero, limits = _zero(op.grid(0)), _limits(op.grid("output"))

    def dense(graph: Graph, x: Codes) -> Codes:
        edges, multipliers = op.adjacency(graph), row_multipliers(op, multiplier, graph)
        return dispatch.sum_rows(x, x_zero, edges, multipliers, limits, workers)

    def on_stored(graph: Graph, x: SparseRows) -> Codes | SparseRows:
        edges, multipliers = op.adjacency(graph), row_multipliers(op, multiplier, graph)
        bound = sparse.sum_bound(x.indptr, edges.indptr, edges.sources)
        if not is_sparse_enough(bound, graph.num_nodes, x.width):
            return dense(graph, x.dense())
        operands = (x.indptr, x.columns, x.values, x_zero, x.width, edges.indptr, edges.sources)
        rows = sparse.sparse_sum(*operands, multipliers, bound, *limits)
        return SparseRows(x.width, limits[0], *rows)

    return Step(dense, on_stored)


def edge_norm(op: BoundOp, workers: Workers) -> Step:
    """Codes [E, 1] of the normalised adjacency."""
    scale, limits = np.float32(op.grid("output").scale), _limits(op.grid("output"))

    def dense(graph: Graph) -> Codes:
        return _quantize(op.adjacency(graph).norm, scale, limits, workers).reshape(-1, 1)

    return Step(dense)


def _factors(op: BoundOp) -> Callable[[np.ndarray], np.ndarray]:
    """What multiplies r_x on every edge and head [E, H], from the edge weights."""
    multiplier = message_multiplier(op)
    if op.inputs[0].grid is None:
        return lambda weights: weights * multiplier
    grid = op.grid(0)
    table = np.arange(grid.qmin - grid.zero_point, grid.qmax - grid.zero_point + 1, dtype=np.float32) * multiplier
    return lambda weights: _take(table, weights)


def weighted_sum(op: BoundOp, workers: Workers) -> Step:
    """Edge weights [E, H] and codes [N, H * C] -> codes of the summed messages."""
    factors, x_zero = _factors(op), _zero(op.grid(1))
    constants = _limits(op.grid("message_grid"))[1:], epilogue_constants(op)[0], _limits(op.grid("output")), workers

    def dense(graph: Graph, weights: np.ndarray, x: Codes) -> Codes:
        return dispatch.weighted_sum(x, x_zero, factors(weights), op.adjacency(graph), *constants)

    return Step(dense)


def messages(op: BoundOp) -> Step:
    """Edge weights [E, H] and codes [N, H * C] -> message codes [E, H * C]."""
    factors, x_zero, limits = _factors(op), _zero(op.grid(1)), _limits(op.grid("message_grid"))

    def dense(graph: Graph, weights: np.ndarray, x: Codes) -> Codes:
        return kernels.messages(x, x_zero, factors(weights), op.adjacency(graph).sources, *limits)

    return Step(dense)


def attention_logits(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, H * C] -> codes of one logit an edge and head [E, H]."""
    vectors = _residual(op, "source", "attention_grid"), _residual(op, "target", "attention_grid")
    multiplier, x_zero, limits = epilogue_constants(op)[0], _zero(op.grid(0)), _limits(op.grid("output"))

    def dense(graph: Graph, x: Codes) -> Codes:
        return dispatch.attention_logits(x, x_zero, vectors, op.adjacency(graph), multiplier, limits, workers)

    return Step(dense)


def edge_softmax(op: BoundOp, workers: Workers) -> Step:
    """Codes [E, H] -> float32 coefficients that sum to one over the edges into a node."""
    table = leaky_values(op)

    def dense(graph: Graph, logits: Codes) -> np.ndarray:
        return dispatch.edge_softmax(logits, table, op.adjacency(graph).indptr, workers)

    return Step(dense)


def pool(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, F] -> codes of mean or sum over the nodes of each graph."""
    multiplier, x_zero, limits = epilogue_constants(op)[0], _zero(op.grid(0)), _limits(op.grid("output"))

    def dense(graph: Graph, x: Codes) -> Codes:
        members, multipliers = graph.members, row_multipliers(op, multiplier, graph)
        return dispatch.sum_rows(x, x_zero, members, multipliers, limits, workers)

    return Step(dense)


def dequantize(op: BoundOp, workers: Workers) -> Step:
    """Codes -> float32."""
    table = dequantized(op.grid(0))
    return Step(lambda graph, x: _take(table, x, workers))


OPS: Mapping[str, Callable[[BoundOp, Workers], Step]] = {
    "quantize": quantize,
    "embedding": embedding,
    "lookup": lookup,
    "linear": linear,
    "requantize": requantize,
    "add": add,
    "sum": sum_,
    "edge_norm": edge_norm,
    "weighted_sum": weighted_sum,
    "attention_logits": attention_logits,
    "edge_softmax": edge_softmax,
    "pool": pool,
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
    messages=lambda op: _runner(messages(op)),
    export=_export,
    take=_take_codes,
)
