"""Ops whose names are resolved, and the float32 constants that all backends multiply and add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..adjacency import Adjacency
from ..graph import Graph
from ..program.grid import Grid
from ..program.model import IntegerProgram, Op, Value

Loops: TypeAlias = bool | None
"""Which edges an op sees: with self-loops (True), as given (False), or those from nodes to their graphs (None)."""

Span = Literal["rows", "ends", "edges"]
"""What of an array belongs to some rows: an entry for each, for each end of one in indptr, or for each of its edges."""


def edges_of(graph: Graph, loops: Loops) -> Adjacency:
    """Returns the edges of a graph that an op sees."""
    return graph.members if loops is None else graph.adjacency(self_loops=loops)


class GraphArray(NamedTuple):
    """An array that an op reads of a graph: read(graph, *about)."""

    span: Span
    read: Callable[..., np.ndarray]
    about: tuple[Any, ...]

    def of(self, graph: Graph) -> np.ndarray:
        """Returns the array of a graph."""
        return self.read(graph, *self.about)


@dataclass(frozen=True)
class BoundOp:
    """An op with the values it reads and writes, and its constants by role."""

    op: Op
    inputs: tuple[Value, ...]
    output: Value
    tensors: Mapping[str, np.ndarray]

    @classmethod
    def bind(cls, op: Op, program: IntegerProgram) -> BoundOp:
        """Resolves the names of an op of a valid program."""
        return cls(
            op=op,
            inputs=tuple(program.values[name] for name in op.inputs),
            output=program.values[op.output],
            tensors={role: program.constants[name] for role, name in op.tensors.items()},
        )

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of the op."""
        return self.op.attributes

    @property
    def pools(self) -> bool:
        """Whether a linear multiplies the sums over the nodes of every graph."""
        return "pooled" in self.attributes

    @property
    def output_scale(self) -> float:
        """The scale of the output's grid; 1 of a float32 output."""
        return 1.0 if self.output.grid is None else self.output.grid.scale

    def grid(self, role: str | int) -> Grid:
        """Returns a grid: of the input with the number `role`, of the "output", or of an operand that is no value."""
        if role in self.op.grids:
            return self.op.grids[str(role)]
        grid = self.output.grid if role == "output" else self.inputs[int(role)].grid
        assert grid is not None, f"{self.op.kind} of {self.output.name}: {role} is not coded"
        return grid

    @property
    def loops(self) -> Loops:
        """Which edges this op sees."""
        return None if self.op.kind == "pool" or self.pools else bool(self.attributes.get("self_loops", False))

    def adjacency(self, graph: Graph) -> Adjacency:
        """Returns the edges that this op sees; those of what pools lead from nodes to their graphs."""
        return edges_of(graph, self.loops)

    def of_edges(self, name: str, span: Span = "rows") -> GraphArray:
        """Returns an attribute of the edges that this op sees."""
        return GraphArray(span, _of_edges, (self.loops, name))


EPILOGUE_SCALES: Mapping[str, tuple[str | int, ...]] = {
    "linear": (0, "weight_grid"),
    "requantize": (0,),
    "sum": (0,),
    "weighted_sum": ("message_grid",),
    "pool": (0,),
    "attention_logits": (0, "attention_grid"),
    "dynamic_attention_logits": (0, "attention_grid"),
}
"""The grids whose scales multiply the accumulator of an op. The scale of the output divides it."""


def ratio(*scales: Any, over: float, count: int = 1) -> Any:
    """Returns the product of float32 scales / (count * a float32 scale), computed in float64 and rounded once."""
    product = np.float64(1)
    for scale in scales:
        product *= np.float64(np.float32(scale))
    return np.float32(product / (np.float64(np.float32(over)) * count))


def epilogue_constants(op: BoundOp) -> tuple[Any, np.ndarray]:
    """Returns multiplier and addend [width] of an op that accumulates: round(acc * multiplier + addend) + z.

    The multiplier is a float32, or an array [width] for an op with a tensor `scale`.
    """
    over = op.output_scale
    scales = [op.grid(role).scale for role in EPILOGUE_SCALES[op.op.kind]]
    multiplier = ratio(op.tensors.get("scale", 1.0), *scales, over=over, count=op.attributes.get("heads", 1))
    bias = op.tensors.get("bias", np.zeros(op.output.width, np.float32))
    return multiplier, (bias.astype(np.float64) / np.float64(np.float32(over))).astype(np.float32)


def column_constants(op: BoundOp) -> tuple[np.ndarray, np.ndarray]:
    """Returns multipliers [width] and addends [width] of an op that accumulates, one for every column."""
    multiplier, addend = epilogue_constants(op)
    return np.broadcast_to(multiplier, addend.shape).astype(np.float32), addend


def sum_constants(op: BoundOp) -> tuple[np.float32, np.ndarray | None]:
    """Returns what a sum over edges ends with, as kernels take it.

    A multiplier and None; of an op with tensors a number that is not read, and multipliers and addends [2, width].
    """
    if not op.tensors:
        return epilogue_constants(op)[0], None
    return np.float32(1), np.stack(column_constants(op))


def row_factors(op: BoundOp) -> GraphArray:
    """Returns the factor of every row's multiplier [N or G]: d^-1/2, 1 / d or 1, as `row_scale` says."""
    if "row_scale" not in op.attributes:
        return GraphArray("rows", Graph.ones, (op.output.domain,))
    name = "inverse_degrees" if op.attributes["row_scale"] == "inverse_degree" else "inverse_sqrt_degrees"
    with_loops = op.op.kind == "linear" and not op.pools
    return GraphArray("rows", _of_edges, (True if with_loops else op.loops, name))


def edge_numbers(op: BoundOp) -> GraphArray:
    """Returns what an edge_norm or an edge_weight quantizes: float32 coefficients [E], or weights as given [E]."""
    if op.op.kind == "edge_weight":
        return GraphArray("edges", _weights, ())
    defaults = {"self_loops": False, "weighted": False, "loop_weight": 1.0}
    return GraphArray("edges", _norm, tuple({**defaults, **op.attributes}.items()))


def _of_edges(graph: Graph, loops: Loops, name: str) -> Any:
    return getattr(edges_of(graph, loops), name)


def _norm(graph: Graph, *attributes: tuple[str, Any]) -> np.ndarray:
    return graph.norm(**dict(attributes))


def _weights(graph: Graph) -> np.ndarray:
    assert graph.weights is not None, "the executor has asked for weights"
    return graph.weights


def message_multiplier(op: BoundOp) -> np.float32:
    """Returns the factor of edge weights (floats, or r of codes) in a weighted_sum; their product multiplies r_x."""
    scales = [value.grid.scale for value in op.inputs if value.grid is not None]
    multiplier: np.float32 = ratio(*scales, over=op.grid("message_grid").scale)
    return multiplier


def add_multipliers(op: BoundOp) -> list[np.float32]:
    """Returns the factor of r of each input of an `add`."""
    weights = op.attributes.get("weights", [1.0] * len(op.inputs))
    over = op.grid("output").scale
    return [ratio(weight, op.grid(i).scale, over=over) for i, weight in enumerate(weights)]


def leaky_values(op: BoundOp) -> np.ndarray:
    """Returns leaky_relu((c - z) s) in float32 for every code c of an edge_softmax's logits [2^bits], ascending."""
    values = dequantized(op.grid(0))
    leaky: np.ndarray = np.where(values > 0, values, values * np.float32(op.attributes["negative_slope"]))
    return leaky


def dequantized(grid: Grid) -> np.ndarray:
    """Returns (c - z) s in float32 for every code c of a grid [2^bits]."""
    codes = np.arange(grid.qmin, grid.qmax + 1)
    values: np.ndarray = (codes - grid.zero_point).astype(np.float32) * np.float32(grid.scale)
    return values


def _softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(1, keepdims=True)
    return shares


def _log_softmax(x: np.ndarray) -> np.ndarray:
    below = x - x.max(1, keepdims=True)
    logarithms: np.ndarray = below - np.log(np.exp(below).sum(1, keepdims=True))
    return logarithms


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        shares: np.ndarray = np.float32(1) / (np.float32(1) + np.exp(-x))
    return shares


FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "log_softmax": _log_softmax,
    "softmax": _softmax,
    "sigmoid": _sigmoid,
}
"""What a dequantize may apply to rows of float32 [n, C]. A row's result does not depend on the other rows."""
