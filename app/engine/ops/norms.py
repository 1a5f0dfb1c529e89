"""The op `normalize`: rows less their mean, divided by their deviation, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..graph import Graph
from ..kernels import norms as kernels
from ..kernels.dispatch import Codes
from ..workers import Workers
from .bound import BoundOp, GraphArray
from .step import OUT, Call, Step, X, limits_of, zero_of


class Groups(NamedTuple):
    """Rows whose entries are normalised together.

    Attributes:
        ends, nodes: the rows of group g are nodes[ends[g]:ends[g + 1]].
        of_rows: the group of every row.
    """

    ends: np.ndarray
    nodes: np.ndarray
    of_rows: np.ndarray


def groups_of(op: BoundOp, graph: Graph, rows: int) -> Groups:
    """Returns the groups of a normalize: each row by itself, the nodes of each graph, or all rows."""
    numbers, over = np.arange(rows, dtype=np.int32), op.attributes["over"]
    if over == "row":
        return Groups(np.arange(rows + 1), numbers, numbers)
    if over == "all":
        return Groups(np.array([0, rows]), numbers, np.zeros_like(numbers))
    return Groups(graph.members.indptr, graph.members.sources, graph.graph_of_nodes)


def columns_of(op: BoundOp) -> Mapping[str, np.ndarray]:
    """Returns the share of the mean that is taken off, the weight and the bias of every column [W], in float64."""
    share = 0.0 if op.attributes.get("length", False) else 1.0
    default = {"mean_scale": share, "scale": 1.0, "bias": 0.0}
    return {
        role: op.tensors.get(role, np.full(op.output.width, number, np.float32)).astype(np.float64)
        for role, number in default.items()
    }


def factors_of(op: BoundOp, squares: np.ndarray, graph: Graph) -> np.ndarray:
    """Returns what distances from the mean are multiplied by, of their mean squares; all [G, K] float64."""
    eps = op.attributes["eps"]
    if op.attributes.get("length", False):
        divisor = np.sqrt(squares * op.output.width).clip(min=eps)
    elif op.attributes.get("eps_beside", False) and (op.attributes["over"] == "all" or not graph.is_batch):
        divisor = np.sqrt(squares) + eps
    else:
        divisor = np.sqrt(squares + eps)
    factors: np.ndarray = 1.0 / divisor
    return factors


def normalize(op: BoundOp, workers: Workers) -> Step:
    """Prepares normalize: codes [n, W] -> codes of the normalised rows; over graphs, statistics are taken at start."""
    shares, weight, bias = columns_of(op).values()
    stored = zero_of(op.grid(0)), np.float32(op.grid(0).scale)
    limits = np.float32(op.grid("output").scale), *limits_of(op.grid("output"))
    if op.attributes["over"] == "row":
        about = shares, int(op.attributes.get("length", False)), op.attributes["eps"]
        return Step((Call(kernels.normalize_rows, (X, *stored, *about, weight, bias, *limits, OUT)),))

    def statistics(graph: Graph, x: Codes, groups: Groups) -> tuple[Any, ...]:
        shape = groups.ends.size - 1, op.output.width if op.attributes.get("per_column", False) else 1
        centre, squares = np.zeros(shape), np.zeros(shape)
        of_rows = x, *stored, groups.ends, groups.nodes
        if shares.any():
            kernels.statistics(*of_rows, np.zeros_like(shares), squares, 1, centre)
        kernels.statistics(*of_rows, shares, centre, 2, squares)
        return shares, centre, factors_of(op, squares, graph), weight, bias

    def begin(graph: Graph, x: Codes) -> tuple[Call, ...]:
        groups = groups_of(op, graph, len(x))
        rows, of_rows = (GraphArray("rows", lambda graph, array: array, (array,)) for array in (x, groups.of_rows))
        constants = *statistics(graph, x, groups), *limits
        return (Call(kernels.normalize, (rows, *stored, of_rows, *constants, OUT)),)

    return Step((), (0,), begin=begin)
