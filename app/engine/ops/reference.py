"""The reference backend: the definition of every op, as plain NumPy on int64 accumulators. It is slow.

Values are codes as they are (int64) or float32. All rounding and clamping is done by `program.grid.quantize`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from ..adjacency import Adjacency
from ..features import NOT_FINITE, read_ids
from ..graph import Graph
from ..kernels.sparse import densified
from ..program.grid import Grid
from ..program.grid import quantize as to_codes
from ..program.model import Value
from ..workers import Workers
from . import preparation
from .backend import Backend, RunOp, Single
from .bound import (
    FUNCTIONS,
    BoundOp,
    add_multipliers,
    dequantized,
    edge_numbers,
    epilogue_constants,
    leaky_values,
    message_multiplier,
    row_factors,
)
from .norms import columns_of, factors_of, groups_of


def _codes(values: np.ndarray, scale: float, grid: Grid) -> np.ndarray:
    with np.errstate(over="ignore"):
        codes = to_codes(values, np.float32(scale), grid.zero_point, grid.qmin, grid.qmax)
    return codes.astype(np.int64)


def _residual(op: BoundOp, role: str | int, codes: np.ndarray) -> np.ndarray:
    return codes.astype(np.int64) - op.grid(role).zero_point


def _scaled(op: BoundOp, acc: np.ndarray, graph: Graph | None = None) -> np.ndarray:
    """Returns accumulators [rows, width] in steps of the output, float32; see `_epilogue`."""
    multiplier, addend = epilogue_constants(op)
    factor = multiplier if graph is None else multiplier * row_factors(op).of(graph)[:, None]
    with np.errstate(over="ignore"):
        scaled: np.ndarray = acc.astype(np.float32) * factor + addend
    return scaled


def _epilogue(op: BoundOp, acc: np.ndarray, graph: Graph | None = None) -> np.ndarray:
    """Returns the codes of accumulators [rows, width]; with `graph`, rows may be scaled by degree (`row_scale`)."""
    return _codes(_scaled(op, acc, graph), 1.0, op.grid("output"))


def _sum_by_target(adjacency: Adjacency, rows: np.ndarray) -> np.ndarray:
    """Sums rows of edges [E, W], in order, over the edges into each node or graph [N or G, W]."""
    out = np.zeros((adjacency.degrees.size, rows.shape[1]), rows.dtype)
    np.add.at(out, adjacency.targets, rows)
    return out


def quantize(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Quantizes float32 [N, F] to codes."""
    if not np.isfinite(x).all():
        raise ValueError(NOT_FINITE)
    grid = op.grid("output")
    return _codes(x, grid.scale, grid)


def embedding(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Returns the codes of the table's rows whose ids are in x [N, 1]."""
    table = op.tensors["table"].astype(np.int64)
    rows: np.ndarray = table[read_ids(x, len(table))]
    return rows


def lookup(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Replaces every code by its entry in the table."""
    entries: np.ndarray = op.tensors["table"].astype(np.int64)[x - op.grid(0).qmin]
    return entries


def linear(op: BoundOp, graph: Graph, x: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Multiplies codes [N, K], or their sums over graphs, by the weight [M, K] -> codes or float32 [N or G, M]."""
    rows = _residual(op, 0, x)
    if op.pools:
        rows = _sum_by_target(graph.members, rows[graph.members.sources])
    acc = rows @ _residual(op, "weight_grid", op.tensors["weight"]).T
    return _epilogue(op, acc, graph) if op.output.grid else sum(others, _scaled(op, acc, graph))


def requantize(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Moves codes to another grid; takes the mean over heads of codes [n, H * C] -> codes [n, C]."""
    of_heads = _residual(op, 0, x).reshape(len(x), op.attributes.get("heads", 1), op.output.width)
    return _epilogue(op, of_heads.sum(1))


def add(op: BoundOp, graph: Graph, *inputs: np.ndarray) -> np.ndarray:
    """Adds two or more inputs, each times its weight -> codes."""
    total = np.zeros(inputs[0].shape, np.float32)
    for i, (x, multiplier) in enumerate(zip(inputs, add_multipliers(op), strict=True)):
        total += _residual(op, i, x).astype(np.float32) * multiplier
    return _codes(total, 1.0, op.grid("output"))


def concatenate(op: BoundOp, graph: Graph, *inputs: np.ndarray) -> np.ndarray:
    """Returns the codes of two or more inputs [N, F_i], side by side."""
    return np.concatenate(inputs, axis=1)


def maximum(op: BoundOp, graph: Graph, *inputs: np.ndarray) -> np.ndarray:
    """Returns the largest code of two or more inputs, entry by entry."""
    largest: np.ndarray = np.stack(inputs).max(0)
    return largest


def normalize(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Takes their mean off codes [N, F] and divides by their deviation, over a row, a graph or all rows -> codes."""
    values, groups = dequantized(op.grid(0))[x - op.grid(0).qmin].astype(np.float64), groups_of(op, graph, len(x))
    share, weight, bias = columns_of(op).values()
    counts = np.maximum(np.diff(groups.ends), 1)[:, None]

    def mean(entries: np.ndarray) -> np.ndarray:
        totals = np.zeros((counts.size, x.shape[1]))
        np.add.at(totals, groups.of_rows, entries)
        means: np.ndarray = totals / counts
        return means if op.attributes.get("per_column", False) else means.mean(1, keepdims=True)

    distances = values - share * mean(values)[groups.of_rows]
    factors = factors_of(op, mean(distances**2), graph)[groups.of_rows]
    grid = op.grid("output")
    return _codes((distances * factors * weight + bias).astype(np.float32), grid.scale, grid)


def sum_(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Sums or averages codes [N, F] over the edges into each node, or over the nodes of each graph -> codes."""
    adjacency = op.adjacency(graph)
    return _epilogue(op, _sum_by_target(adjacency, _residual(op, 0, x)[adjacency.sources]), graph)


def neighbour_max(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Returns the largest codes of x [N, F] over the edges into each node or graph."""
    adjacency = op.adjacency(graph)
    out = np.full((adjacency.degrees.size, x.shape[1]), op.grid("output").qmin, np.int64)
    np.maximum.at(out, adjacency.targets, x[adjacency.sources])
    out[adjacency.degrees == 0] = op.grid("output").zero_point
    return out


def pool(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Sums or averages codes [N, F] over the nodes of each graph, or takes the largest -> codes."""
    return (neighbour_max if "reduce" in op.attributes else sum_)(op, graph, x)


def edge_numbers_coded(op: BoundOp, graph: Graph) -> np.ndarray:
    """Returns the codes [E, 1] of the normalized adjacency, or of the weights of edges."""
    grid = op.grid("output")
    return _codes(edge_numbers(op).of(graph)[:, None], grid.scale, grid)


def messages(op: BoundOp, graph: Graph, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the message codes [E, H * C] of a weighted_sum."""
    w = weights if op.inputs[0].grid is None else _residual(op, 0, weights).astype(np.float32)
    factors = np.repeat(w * message_multiplier(op), x.shape[1] // weights.shape[1], axis=1)
    rows = _residual(op, 1, x)[op.adjacency(graph).sources].astype(np.float32)
    return _codes(rows * factors, 1.0, op.grid("message_grid"))


def weighted_sum(op: BoundOp, graph: Graph, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sums messages, of edge weights [E, H] and codes [N, H * C], over the edges into each node -> codes [N, H * C]."""
    return add_up(op, graph, messages(op, graph, weights, x))


def add_up(op: BoundOp, graph: Graph, codes: np.ndarray) -> np.ndarray:
    """Sums message codes [E, H * C] of a weighted_sum over the edges into each node -> codes [N, H * C]."""
    return _epilogue(op, _sum_by_target(op.adjacency(graph), _residual(op, "message_grid", codes)), graph)


def attention_logits(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Computes a logit for every edge and head from codes [N, H * C] -> codes [E, H]."""
    adjacency = op.adjacency(graph)
    rows = _residual(op, 0, x).reshape(len(x), *op.tensors["source"].shape)
    of_source = (rows * _residual(op, "attention_grid", op.tensors["source"])).sum(-1)
    of_target = (rows * _residual(op, "attention_grid", op.tensors["target"])).sum(-1)
    return _epilogue(op, of_source[adjacency.sources] + of_target[adjacency.targets])


def dynamic_attention_logits(op: BoundOp, graph: Graph, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes a logit for every edge and head from codes [N, H * C] of sources and of targets -> codes [E, H]."""
    adjacency, vectors = op.adjacency(graph), _residual(op, "attention_grid", op.tensors["attention"])
    t = _residual(op, 0, source)[adjacency.sources] + _residual(op, 1, target)[adjacency.targets]
    t = t.reshape(len(t), *vectors.shape)
    above, below = (np.maximum(t, 0) * vectors).sum(-1), (np.minimum(t, 0) * vectors).sum(-1)
    return _epilogue(op, above + np.float64(np.float32(op.attributes["negative_slope"])) * below)


def edge_softmax(op: BoundOp, graph: Graph, logits: np.ndarray) -> np.ndarray:
    """Computes coefficients, float32, that sum to one over the edges into a node, from codes [E, H]."""
    adjacency = op.adjacency(graph)
    values = leaky_values(op)[logits - op.grid(0).qmin]
    largest = np.full((graph.num_nodes, values.shape[1]), -np.inf, np.float32)
    np.maximum.at(largest, adjacency.targets, values)
    powers = np.exp(values - largest[adjacency.targets])
    totals = _sum_by_target(adjacency, powers) + np.float32(1e-16)
    coefficients: np.ndarray = powers / totals[adjacency.targets]
    return coefficients


def dequantize(op: BoundOp, graph: Graph, x: np.ndarray) -> np.ndarray:
    """Returns the values of codes, float32, or a function of them."""
    values: np.ndarray = dequantized(op.grid(0))[x - op.grid(0).qmin]
    function = op.attributes.get("function")
    return values if function is None else FUNCTIONS[function](values)


OPS: Mapping[str, Callable[..., np.ndarray]] = {
    "in_degree": preparation.reference_in_degree,
    **preparation.REFERENCE,
    "quantize": quantize,
    "embedding": embedding,
    "lookup": lookup,
    "linear": linear,
    "requantize": requantize,
    "add": add,
    "concatenate": concatenate,
    "maximum": maximum,
    "normalize": normalize,
    "sum": sum_,
    "neighbour_max": neighbour_max,
    "edge_norm": edge_numbers_coded,
    "edge_weight": edge_numbers_coded,
    "weighted_sum": weighted_sum,
    "attention_logits": attention_logits,
    "dynamic_attention_logits": dynamic_attention_logits,
    "edge_softmax": edge_softmax,
    "pool": pool,
    "dequantize": dequantize,
}


def _stages(ops: Sequence[BoundOp], workers: Workers, *, together: bool) -> list[Single]:
    return [Single(op, partial(OPS[op.op.kind], op)) for op in ops]


def _messages(op: BoundOp) -> RunOp:
    return partial(messages, op)


def _add_up(op: BoundOp) -> RunOp:
    return partial(add_up, op)


def _to_numpy(value: np.ndarray, declared: Value) -> np.ndarray:
    return value if declared.grid is None else value.astype(np.int8 if declared.grid.signed else np.uint8)


def _from_numpy(codes: np.ndarray, declared: Value) -> np.ndarray:
    return codes.astype(np.int64)


REFERENCE = Backend(densified, _stages, _messages, _add_up, None, _to_numpy, _from_numpy)
