"""Compiled ops along edges: sums, messages, attention, and pooling, whose edges lead from nodes to graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from app.engine import dispatch, kernels, sparse
from app.engine.bound import BoundOp, epilogue_constants, leaky_values, message_multiplier, row_multipliers
from app.engine.dispatch import Codes
from app.engine.graph import Graph
from app.engine.sparse import SparseRows, is_sparse_enough
from app.engine.step import Step, limits_of, quantized, residual_of, take, zero_of
from app.engine.workers import SERIAL, Workers


def sum_(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, F] -> codes of their sums over the edges into each node."""
    multiplier, _ = epilogue_constants(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))

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
    scale, limits = np.float32(op.grid("output").scale), limits_of(op.grid("output"))

    def dense(graph: Graph) -> Codes:
        return quantized(op.adjacency(graph).norm, scale, limits, workers).reshape(-1, 1)

    return Step(dense)


def _factors(op: BoundOp, workers: Workers) -> tuple[Callable[[np.ndarray], np.ndarray], np.float32, float]:
    """What multiplies r_x on every edge and head: an array [E, H], times a number; and what neither product exceeds."""
    multiplier = message_multiplier(op)
    if op.inputs[0].grid is None:  # a softmax: at most 1, and a little for the rounding of its sum
        return lambda weights: weights, multiplier, 2.0 * abs(float(multiplier))
    grid = op.grid(0)
    table = np.arange(grid.qmin - grid.zero_point, grid.qmax - grid.zero_point + 1, dtype=np.float32) * multiplier
    return lambda weights: take(table, weights, workers), np.float32(1), float(np.abs(table).max())


def weighted_sum(op: BoundOp, workers: Workers) -> Step:
    """Edge weights [E, H] and codes [N, H * C] -> codes of the summed messages."""
    (factors, scale, largest), x_zero = _factors(op, workers), zero_of(op.grid(1))
    constants = limits_of(op.grid("message_grid"))[1:], epilogue_constants(op)[0], limits_of(op.grid("output")), workers

    def dense(graph: Graph, weights: np.ndarray, x: Codes) -> Codes:
        return dispatch.weighted_sum(x, x_zero, factors(weights), scale, largest, op.adjacency(graph), *constants)

    return Step(dense)


def messages(op: BoundOp, workers: Workers = SERIAL) -> Step:
    """Edge weights [E, H] and codes [N, H * C] -> message codes [E, H * C]."""
    (factors, scale, _), x_zero = _factors(op, workers), zero_of(op.grid(1))
    limits = limits_of(op.grid("message_grid"))

    def dense(graph: Graph, weights: np.ndarray, x: Codes) -> Codes:
        return kernels.messages(x, x_zero, factors(weights), scale, op.adjacency(graph).sources, *limits)

    return Step(dense)


def attention_logits(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, H * C] -> codes of one logit an edge and head [E, H]."""
    vectors = residual_of(op, "source", "attention_grid"), residual_of(op, "target", "attention_grid")
    multiplier, x_zero, limits = epilogue_constants(op)[0], zero_of(op.grid(0)), limits_of(op.grid("output"))

    def dense(graph: Graph, x: Codes) -> Codes:
        return dispatch.attention_logits(x, x_zero, vectors, op.adjacency(graph), multiplier, limits, workers)

    return Step(dense)


def edge_softmax(op: BoundOp, workers: Workers) -> Step:
    """Codes [E, H] -> float32 coefficients that sum to one over the edges into a node."""
    values = leaky_values(op)
    exponentials = np.exp(np.minimum(values - values[:, None], 0))  # of what exceeds the maximum nobody asks

    def dense(graph: Graph, logits: Codes) -> np.ndarray:
        return dispatch.edge_softmax(logits, values, exponentials, op.adjacency(graph).indptr, workers)

    return Step(dense)


def pool(op: BoundOp, workers: Workers) -> Step:
    """Codes [N, F] -> codes of mean or sum over the nodes of each graph."""
    multiplier, x_zero, limits = epilogue_constants(op)[0], zero_of(op.grid(0)), limits_of(op.grid("output"))

    def dense(graph: Graph, x: Codes) -> Codes:
        members, multipliers = graph.members, row_multipliers(op, multiplier, graph)
        return dispatch.sum_rows(x, x_zero, members, multipliers, limits, workers)

    return Step(dense)
