"""Compiled ops along edges: sums, messages and attention, and pooling, whose edges lead from nodes to graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Graph
from ..kernels import dispatch, sparse
from ..kernels import plain as kernels
from ..kernels.common import accumulator_of_products, accumulator_of_sums
from ..kernels.dispatch import Codes
from ..kernels.sparse import SparseRows, densified, is_sparse_enough
from ..workers import Workers
from .backend import RunOp
from .bound import BoundOp, edge_norms, edge_weights, epilogue_constants, leaky_values, message_multiplier, row_factors
from .packed_rows import PackedRows, is_packed, unpacked
from .step import Block, ComputeBlock, Step, largest_of, limits_of, look_up, residual_of, zero_of


def sum_(op: BoundOp, workers: Workers) -> Step:
    """Prepares sum: codes [N, F] -> codes of their sums, or means, over the edges into each node."""
    multiplier, _ = epilogue_constants(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows | None:
        edges, multipliers = op.adjacency(graph), multiplier * row_factors(op, graph)
        bound = sparse.sum_bound(x.indptr, edges.indptr, edges.sources)
        if not is_sparse_enough(bound, graph.num_nodes, x.width):
            return None
        accumulator = accumulator_of_sums(edges.largest_degree, largest_of(op.grid(0)))
        operands = (x.indptr, x.columns, x.values, x_zero, x.width, edges.indptr, edges.sources)
        rows = sparse.sparse_sum(accumulator, *operands, multipliers, bound, *limits)
        return SparseRows(x.width, limits[0], *rows)

    return Step(_sum_rows(op), (0,), on_stored, reads_packed=True)


def pool(op: BoundOp, workers: Workers) -> Step:
    """Prepares pool: codes [N, F] -> codes of their sums, or means, over the nodes of each graph, or the largest."""
    return Step(_largest_rows(op) if "reduce" in op.attributes else _sum_rows(op), (0,), reads_packed=True)


def neighbour_max(op: BoundOp, workers: Workers) -> Step:
    """Prepares neighbour_max: codes [N, F] -> the largest over the edges into each node."""
    return Step(_largest_rows(op), (0,), reads_packed=True)


def _sum_rows(op: BoundOp) -> Callable[..., ComputeBlock]:
    """Returns the `start` of a sum over the edges into each row."""
    multiplier, x_zero, limits = epilogue_constants(op)[0], zero_of(op.grid(0)), limits_of(op.grid("output"))
    packed, width, largest = is_packed(op.inputs[0]), op.output.width, largest_of(op.grid(0))

    def start(graph: Graph, x: Any) -> ComputeBlock:
        edges, multipliers = op.adjacency(graph), multiplier * row_factors(op, graph)
        accumulator = accumulator_of_sums(edges.largest_degree, largest)
        kernel = dispatch.packed_sum("sum_nibbles", accumulator) if packed else dispatch.sum_rows(width, accumulator)
        source = x.nibbles if packed else x

        def compute(block: Block, out: Codes) -> None:
            of_block = edges.indptr[block.ends], edges.sources[block.edges], multipliers[block.rows]
            kernel(source, x_zero, *of_block, *limits, out)

        return compute

    return start


def _largest_rows(op: BoundOp) -> Callable[..., ComputeBlock]:
    """Returns the `start` of a maximum over the edges into each row."""
    packed, empty = is_packed(op.inputs[0]), zero_of(op.grid("output"))
    kernel = dispatch.max_nibbles() if packed else dispatch.max_rows(op.output.width)

    def start(graph: Graph, x: Any) -> ComputeBlock:
        edges, source = op.adjacency(graph), x.nibbles if packed else x

        def compute(block: Block, out: Codes) -> None:
            kernel(source, edges.indptr[block.ends], edges.sources[block.edges], empty, out)

        return compute

    return start


def edge_norm(op: BoundOp, workers: Workers) -> Step:
    """Prepares edge_norm: codes [E, 1] of the normalized adjacency."""
    return _quantized(op, lambda graph: edge_norms(op, graph))


def edge_weight(op: BoundOp, workers: Workers) -> Step:
    """Prepares edge_weight: codes [E, 1] of the weights of edges."""
    return _quantized(op, edge_weights)


def _quantized(op: BoundOp, floats: Callable[[Graph], np.ndarray]) -> Step:
    """Prepares the codes [E, 1] of float32 numbers [E] that a graph has for its edges."""
    constants = np.float32(op.grid("output").scale), *limits_of(op.grid("output"))
    kernel = dispatch.elementwise("quantize")

    def start(graph: Graph) -> ComputeBlock:
        of_edges = floats(graph)
        return lambda block, out: kernel(of_edges[block.edges], *constants, out.reshape(-1))

    return Step(start)


def _factors(op: BoundOp) -> tuple[Callable[[np.ndarray], np.ndarray], np.float32, float]:
    """Returns how edge weights become the factors of r_x.

    Returns:
        A function from weights to an array [E, H], a number that multiplies the array, and a bound on the products.
    """
    multiplier = message_multiplier(op)
    if op.inputs[0].grid is None:  # a softmax: at most 1, and a little more because its sum is rounded
        return lambda weights: weights, multiplier, 2.0 * abs(float(multiplier))
    grid = op.grid(0)
    table = np.arange(grid.qmin - grid.zero_point, grid.qmax - grid.zero_point + 1, dtype=np.float32) * multiplier
    return lambda weights: look_up(table, weights), np.float32(1), float(np.abs(table).max())


def weighted_sum(op: BoundOp, workers: Workers) -> Step:
    """Prepares weighted_sum: edge weights [E, H] and codes [N, H * C] -> codes of the summed messages."""
    if is_packed(op.inputs[1]) and _has_tables(op):
        return Step(_sum_from_tables(op), (1,), reads_packed=True)
    (factors, scale, largest), x_zero = _factors(op), zero_of(op.grid(1))
    constants = *limits_of(op.grid("message_grid"))[1:], epilogue_constants(op)[0], *limits_of(op.grid("output"))
    heads, largest_message = op.inputs[0].width, largest_of(op.grid("message_grid"))

    def start(graph: Graph, x: Codes) -> ComputeBlock:
        edges = op.adjacency(graph)
        accumulator = accumulator_of_sums(edges.largest_degree, largest_message)
        kernel = dispatch.weighted_sum(op.output.width // heads, largest, accumulator, heads=heads)

        def compute(block: Block, weights: np.ndarray, out: Codes) -> None:
            of_block = edges.indptr[block.ends], edges.sources[block.edges]
            kernel(x, x_zero, factors(weights), scale, *of_block, *constants, out)

        return compute

    return Step(start, (1,))


def _has_tables(op: BoundOp) -> bool:
    """Returns whether messages can be tabulated: one of sixteen for every pair of a weight's and a row's code."""
    weights = op.inputs[0]
    return weights.grid is not None and weights.width == 1 and max(weights.grid.bits, op.grid("message_grid").bits) <= 4


def _sum_from_tables(op: BoundOp) -> Callable[..., ComputeBlock]:
    """Returns the `start` of a weighted sum of packed rows, whose messages are looked up in a table."""
    (factors, scale, _), limits = _factors(op), limits_of(op.grid("message_grid"))
    codes = np.arange(16, dtype=np.uint8)
    weights = factors(np.minimum(codes, 2 ** op.grid(0).bits - 1)[:, None])
    pairs = kernels.messages(codes[None], zero_of(op.grid(1)), weights, scale, np.zeros(16, int), *limits)
    constants = np.int32(limits[1]), epilogue_constants(op)[0], *limits_of(op.grid("output"))
    largest_message = largest_of(op.grid("message_grid"))

    def start(graph: Graph, x: PackedRows) -> ComputeBlock:
        edges = op.adjacency(graph)
        accumulator = accumulator_of_sums(edges.largest_degree, largest_message)
        kernel = dispatch.packed_sum("sum_nibble_messages", accumulator)

        def compute(block: Block, weights: Codes, out: Codes) -> None:
            of_block = weights.reshape(-1), edges.indptr[block.ends], edges.sources[block.edges]
            kernel(x.nibbles, pairs, *of_block, *constants, out)

        return compute

    return start


def messages(op: BoundOp) -> RunOp:
    """Prepares the messages of a weighted_sum: edge weights [E, H] and codes [N, H * C] -> message codes [E, H * C]."""
    (factors, scale, _), x_zero = _factors(op), zero_of(op.grid(1))
    limits = limits_of(op.grid("message_grid"))

    def run(graph: Graph, weights: np.ndarray, x: Codes | SparseRows | PackedRows) -> Codes:
        rows, sources = unpacked(densified(x)), op.adjacency(graph).sources
        codes: Codes = kernels.messages(rows, x_zero, factors(weights), scale, sources, *limits)
        return codes

    return run


def add_up(op: BoundOp) -> RunOp:
    """Prepares the sum of given message codes [E, H * C] -> codes [N, H * C], in place of a weighted_sum."""
    grid, multiplier = op.grid("message_grid"), epilogue_constants(op)[0]

    def run(graph: Graph, codes: Codes) -> Codes:
        edges = op.adjacency(graph)
        accumulator = accumulator_of_sums(edges.largest_degree, largest_of(grid))
        out, multipliers = np.empty((graph.num_nodes, op.output.width), np.uint8), np.full(graph.num_nodes, multiplier)
        own = np.arange(len(codes), dtype=np.int32)
        kernel = dispatch.sum_rows(op.output.width, accumulator)
        kernel(codes, zero_of(grid), edges.indptr, own, multipliers, *limits_of(op.grid("output")), out)
        return out

    return run


def attention_logits(op: BoundOp, workers: Workers) -> Step:
    """Prepares attention_logits: codes [N, H * C] -> codes of a logit for every edge and head [E, H]."""
    x_zero, constants = zero_of(op.grid(0)), (epilogue_constants(op)[0], *limits_of(op.grid("output")))
    vectors = np.stack([residual_of(op, role, "attention_grid") for role in ("source", "target")])
    largest = largest_of(op.grid(0))
    dtype = accumulator_of_products(np.concatenate(vectors, axis=1), x_zero, largest)  # of both scores together
    project = dispatch.project(vectors, x_zero, largest=largest, scores=dtype)
    kernel = dispatch.attention_logits(op.output.width, dtype)

    def start(graph: Graph, x: Codes) -> ComputeBlock:
        edges, scores = op.adjacency(graph), workers.buffers.empty((len(x), 2 * op.output.width), dtype)

        def compute(block: Block, out: Codes) -> None:
            of_block = scores[block.rows], edges.indptr[block.ends], edges.sources[block.edges]
            kernel(scores, *of_block, *constants, out)

        workers.run(lambda first, last: project(x[first:last], scores[first:last]), len(x))
        return compute

    return Step(start, (0,))


def dynamic_attention_logits(op: BoundOp, workers: Workers) -> Step:
    """Prepares dynamic_attention_logits: two times codes [N, H * C] -> codes of a logit for every edge and head."""
    constants = epilogue_constants(op)[0], *limits_of(op.grid("output"))
    vectors = residual_of(op, "attention", "attention_grid")
    largest, shift = 2 * largest_of(op.grid(0)), 2 * zero_of(op.grid(0))
    accumulator = accumulator_of_sums(int(np.abs(vectors.astype(np.int64)).sum(1).max()), largest)
    kernel, prepared = dispatch.dynamic_logits(vectors, accumulator)
    slope = np.float64(np.float32(op.attributes["negative_slope"]))

    def start(graph: Graph, x: Codes) -> ComputeBlock:
        edges = op.adjacency(graph)

        def compute(block: Block, own: Codes, out: Codes) -> None:
            of_block = edges.indptr[block.ends], edges.sources[block.edges]
            kernel(x, own, shift, prepared, slope, *of_block, *constants, out)

        return compute

    return Step(start, (0,))


def edge_softmax(op: BoundOp, workers: Workers) -> Step:
    """Prepares edge_softmax: codes [E, H] -> float32 coefficients that sum to one over the edges into a node."""
    values = leaky_values(op)
    exponentials = np.exp(np.minimum(values - values[:, None], 0))  # entries above the maximum are never read
    kernel = dispatch.softmax(op.output.width)

    def start(graph: Graph) -> ComputeBlock:
        indptr = op.adjacency(graph).indptr
        return lambda block, logits, out: kernel(logits, exponentials, indptr[block.ends], out)

    return Step(start)
