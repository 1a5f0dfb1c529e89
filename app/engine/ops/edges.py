"""Compiled ops along edges: sums, messages and attention, and pooling, whose edges lead from nodes to graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..graph import Graph
from ..kernels import dispatch, sparse
from ..kernels import plain as kernels
from ..kernels.common import accumulator_of_products, accumulator_of_sums, by_fours
from ..kernels.dispatch import Codes, Dtype, Kernel
from ..kernels.sparse import SparseRows, densified, is_sparse_enough
from ..workers import Workers
from .backend import RunOp
from .bound import (
    BoundOp,
    GraphArray,
    edge_numbers,
    epilogue_constants,
    leaky_values,
    message_multiplier,
    row_factors,
    sum_constants,
)
from .packed_rows import PackedRows, is_packed, unpacked
from .step import (
    FLAT_MADE,
    FLAT_OUT,
    FLAT_X,
    MADE,
    OUT,
    WHOLE_MADE,
    WHOLE_X,
    ByDegree,
    Call,
    Operand,
    Step,
    Temporary,
    X,
    largest_of,
    limits_of,
    residual_of,
    zero_of,
)


def sum_(op: BoundOp, workers: Workers) -> Step:
    """Prepares sum: codes [N, F] -> codes of their sums, or means, over the edges into each node."""
    multiplier, factors = epilogue_constants(op)[0], row_factors(op)
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))

    def on_stored(graph: Graph, x: SparseRows) -> SparseRows | None:
        edges = op.adjacency(graph)
        bound = sparse.sum_bound(x.indptr, edges.indptr, edges.sources)
        if not is_sparse_enough(bound, graph.num_nodes, x.width):
            return None
        accumulator = accumulator_of_sums(edges.largest_degree, largest_of(op.grid(0)))
        operands = (x.indptr, x.columns, x.values, x_zero, x.width, edges.indptr, edges.sources)
        rows = sparse.sparse_sum(accumulator, *operands, multiplier, factors.of(graph), bound, *limits)
        return SparseRows(x.width, limits[0], *rows)

    keeps_cells = not op.tensors  # an addend makes something of zeros
    return Step((_sum_rows(op),), (0,), sparse=on_stored if keeps_cells else None, reads_packed=True)


def pool(op: BoundOp, workers: Workers) -> Step:
    """Prepares pool: codes [N, F] -> codes of their sums, or means, over the nodes of each graph, or the largest."""
    return Step((_largest_rows(op) if "reduce" in op.attributes else _sum_rows(op),), (0,), reads_packed=True)


def neighbour_max(op: BoundOp, workers: Workers) -> Step:
    """Prepares neighbour_max: codes [N, F] -> the largest over the edges into each node."""
    return Step((_largest_rows(op),), (0,), reads_packed=True)


def _edges(op: BoundOp) -> tuple[GraphArray, GraphArray]:
    """Returns the edges that an op sees, as kernels take them: indptr and sources."""
    return op.of_edges("indptr", "ends"), op.of_edges("sources", "edges")


def _by_degree(op: BoundOp, largest: int, choose: Callable[[Dtype], Kernel]) -> ByDegree:
    """Returns a kernel that is chosen by the dtype of sums over the edges into a row, of numbers up to `largest`."""
    return ByDegree(lambda degree: choose(accumulator_of_sums(degree, largest)), op.loops)


def _sum_rows(op: BoundOp) -> Call:
    """Returns the sum over the edges into each row."""
    x_zero, limits = zero_of(op.grid(0)), limits_of(op.grid("output"))
    packed, width = is_packed(op.inputs[0]), op.output.width

    def choose(accumulator: Dtype) -> Kernel:
        return dispatch.packed_sum("sum_nibbles", accumulator) if packed else dispatch.sum_rows(width, accumulator)

    constants = sum_constants(op) if packed else _constants_by_fours(op)
    arguments = WHOLE_X, x_zero, *_edges(op), *constants, row_factors(op), *limits, OUT
    return Call(_by_degree(op, largest_of(op.grid(0)), choose), arguments)


def _constants_by_fours(op: BoundOp) -> tuple[np.float32, np.ndarray | None]:
    """Returns what a sum ends with as `sum_rows` takes it."""
    multiplier, columns = sum_constants(op)
    return multiplier, None if columns is None else by_fours(columns)


def _largest_rows(op: BoundOp) -> Call:
    """Returns the maximum over the edges into each row."""
    kernel = dispatch.max_nibbles() if is_packed(op.inputs[0]) else dispatch.max_rows(op.output.width)
    return Call(kernel, (WHOLE_X, *_edges(op), zero_of(op.grid("output")), OUT))


def edge_numbers_coded(op: BoundOp, workers: Workers) -> Step:
    """Prepares edge_norm and edge_weight: codes [E, 1] of the normalized adjacency, or of the weights of edges."""
    constants = np.float32(op.grid("output").scale), *limits_of(op.grid("output"))
    return Step((Call(dispatch.elementwise("quantize"), (edge_numbers(op), *constants, FLAT_OUT)),))


class Factors(NamedTuple):
    """How edge weights become the factors of r_x in a message.

    Attributes:
        table: the factor of every code of a weight; None: the weights are factors themselves.
        scale: a number that multiplies the factors.
        largest: a bound on the products.
    """

    table: np.ndarray | None
    scale: np.float32
    largest: float

    @classmethod
    def of(cls, op: BoundOp) -> Factors:
        """Returns those of a weighted_sum."""
        multiplier = message_multiplier(op)
        if op.inputs[0].grid is None:  # a softmax: at most 1, and a little more because its sum is rounded
            return cls(None, multiplier, 2.0 * abs(float(multiplier)))
        grid = op.grid(0)
        table = np.arange(grid.qmin - grid.zero_point, grid.qmax - grid.zero_point + 1, dtype=np.float32) * multiplier
        return cls(table, np.float32(1), float(np.abs(table).max()))

    def look_up(self, weights: np.ndarray) -> np.ndarray:
        """Returns the factors of weights [E, H]."""
        return weights if self.table is None else self.table[weights]


def weighted_sum(op: BoundOp, workers: Workers) -> Step:
    """Prepares weighted_sum: edge weights [E, H] and codes [N, H * C] -> codes of the summed messages."""
    if is_packed(op.inputs[1]) and _has_tables(op):
        return Step((_sum_from_tables(op),), (1,), reads_packed=True)
    factors, x_zero, messages = Factors.of(op), zero_of(op.grid(1)), op.grid("message_grid")
    constants = *limits_of(messages)[1:], *sum_constants(op), *limits_of(op.grid("output"))
    heads, channels = op.inputs[0].width, op.output.width // op.inputs[0].width
    kernel = _by_degree(
        op, largest_of(messages), lambda dtype: dispatch.weighted_sum(channels, factors.largest, dtype, heads=heads)
    )
    x, behind = Operand("input", 1, "whole"), (factors.scale, *_edges(op), *constants, OUT)
    if factors.table is None:
        return Step((Call(kernel, (x, x_zero, X, *behind)),), (1,))
    look_up = Call(kernels.lookup, (FLAT_X, factors.table, FLAT_MADE))
    made = (Temporary(heads, np.float32, of_edges=True),)
    return Step((look_up, Call(kernel, (x, x_zero, MADE, *behind))), (1,), temporaries=made)


def _has_tables(op: BoundOp) -> bool:
    """Returns whether messages can be tabulated: one of sixteen for every pair of a weight's and a row's code."""
    weights = op.inputs[0]
    return weights.grid is not None and weights.width == 1 and max(weights.grid.bits, op.grid("message_grid").bits) <= 4


def _sum_from_tables(op: BoundOp) -> Call:
    """Returns the weighted sum of packed rows, whose messages are looked up in a table."""
    factors, limits = Factors.of(op), limits_of(op.grid("message_grid"))
    codes = np.arange(16, dtype=np.uint8)
    weights = factors.look_up(np.minimum(codes, 2 ** op.grid(0).bits - 1)[:, None])
    pairs = kernels.messages(codes[None], zero_of(op.grid(1)), weights, factors.scale, np.zeros(16, int), *limits)
    constants = np.int32(limits[1]), *sum_constants(op), *limits_of(op.grid("output"))
    kernel = _by_degree(
        op, largest_of(op.grid("message_grid")), lambda dtype: dispatch.packed_sum("sum_nibble_messages", dtype)
    )
    return Call(kernel, (Operand("input", 1, "whole"), pairs, FLAT_X, *_edges(op), *constants, OUT))


def messages(op: BoundOp) -> RunOp:
    """Prepares the messages of a weighted_sum: edge weights [E, H] and codes [N, H * C] -> message codes [E, H * C]."""
    factors, x_zero = Factors.of(op), zero_of(op.grid(1))
    limits = limits_of(op.grid("message_grid"))

    def run(graph: Graph, weights: np.ndarray, x: Codes | SparseRows | PackedRows) -> Codes:
        rows, sources = unpacked(densified(x)), op.adjacency(graph).sources
        codes: Codes = kernels.messages(rows, x_zero, factors.look_up(weights), factors.scale, sources, *limits)
        return codes

    return run


def add_up(op: BoundOp) -> RunOp:
    """Prepares the sum of given message codes [E, H * C] -> codes [N, H * C], in place of a weighted_sum."""
    grid, constants = op.grid("message_grid"), _constants_by_fours(op)

    def run(graph: Graph, codes: Codes) -> Codes:
        edges = op.adjacency(graph)
        accumulator = accumulator_of_sums(edges.largest_degree, largest_of(grid))
        out = np.empty((graph.num_nodes, op.output.width), np.uint8)
        own = np.arange(len(codes), dtype=np.int32)
        kernel = dispatch.sum_rows(op.output.width, accumulator)
        epilogue = *constants, graph.ones("node"), *limits_of(op.grid("output"))
        kernel(codes, zero_of(grid), edges.indptr, own, *epilogue, out)
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
    scores = Call(project.kernel, (X, *project.weight, MADE))
    logits = Call(kernel, (WHOLE_MADE, MADE, *_edges(op), *constants, OUT))
    return Step((logits,), (0,), scores, (Temporary(2 * op.output.width, dtype),))


def dynamic_attention_logits(op: BoundOp, workers: Workers) -> Step:
    """Prepares dynamic_attention_logits: two times codes [N, H * C] -> codes of a logit for every edge and head."""
    constants = epilogue_constants(op)[0], *limits_of(op.grid("output"))
    vectors = residual_of(op, "attention", "attention_grid")
    largest, shift = 2 * largest_of(op.grid(0)), 2 * zero_of(op.grid(0))
    accumulator = accumulator_of_sums(int(np.abs(vectors.astype(np.int64)).sum(1).max()), largest)
    kernel, prepared = dispatch.dynamic_logits(vectors, accumulator)
    slope = np.float64(np.float32(op.attributes["negative_slope"]))
    rows = WHOLE_X, Operand("input", 1)
    return Step((Call(kernel, (*rows, shift, prepared, slope, *_edges(op), *constants, OUT)),), (0,))


def edge_softmax(op: BoundOp, workers: Workers) -> Step:
    """Prepares edge_softmax: codes [E, H] -> float32 coefficients that sum to one over the edges into a node."""
    values = leaky_values(op)
    exponentials = np.exp(np.minimum(values - values[:, None], 0))  # entries above the maximum are never read
    return Step((Call(dispatch.softmax(op.output.width), (X, exponentials, op.of_edges("indptr", "ends"), OUT)),))
