"""Graphs: edges are checked once and grouped by target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any, NamedTuple

import numpy as np

from .adjacency import Adjacency
from .kernels.grouping import group_by_target, weights_by_target, weights_with_loops, with_loops
from .weights import read_weights, weighted_norm


def as_count(number: Any, name: str) -> int:
    """Returns a whole number that is not negative as int.

    Raises:
        ValueError: if it is anything else; the message begins with `name`.
    """
    try:
        count = index(number)
    except TypeError:
        count = None
    if count is None or isinstance(number, bool):
        raise ValueError(f"{name}: expected a whole number, got {number!r}")
    if not 0 <= count < 2**31:
        raise ValueError(f"{name}: expected 0 to 2^31 - 1, got {count}")
    return count


def as_array(x: Any, name: str) -> np.ndarray:
    """Returns `x` as a NumPy array. A torch tensor is recognized by its methods; torch is never imported.

    NumPy has no bfloat16: such tensors are read as float32, which has all their numbers.

    Raises:
        ValueError: if `x` cannot be read as an array; the message begins with `name`.
    """
    try:
        if hasattr(x, "detach"):
            x = x.detach().cpu()
            x = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: cannot be read as an array: {error}") from error


class Graph:
    """A directed graph, or a batch of graphs; it can be passed to `run` many times in place of `edge_index`.

    Args:
        edge_index: sources and targets, NumPy or torch.
        num_nodes: N.
        batch: the number of the graph that each node belongs to, in any order; None: all nodes are one graph.
        num_graphs: the number of graphs; None: up to the last one that has a node, and no more than there are nodes.
        edge_weight: the weight of every edge, for programs that read it.

    Shapes:
        edge_index [2, E], whole numbers from 0 to N - 1; batch [N], whole numbers from 0 to num_graphs - 1;
        edge_weight [E], finite in float32.

    Raises:
        ValueError: if a dtype, a shape, an index or a weight is wrong.
    """

    def __init__(
        self,
        edge_index: Any,
        num_nodes: int,
        batch: Any = None,
        num_graphs: int | None = None,
        *,
        edge_weight: Any = None,
    ) -> None:
        num_nodes = as_count(num_nodes, "num_nodes")
        edges = as_array(edge_index, "edge_index")
        if isinstance(edge_index, (list, tuple)) and edges.size == 0:  # an empty list has no dtype of its own
            edges = edges.astype(np.int64)
        if edges.dtype.kind not in "iu":
            raise ValueError(f"edge_index: expected whole numbers, got {edges.dtype}")
        if edges.ndim != 2 or edges.shape[0] != 2:
            raise ValueError(f"edge_index: expected shape [2, E], got {list(edges.shape)}")
        if edges.size and (edges.min() < 0 or edges.max() >= num_nodes):
            wrong = edges.min() if edges.min() < 0 else edges.max()
            raise ValueError(f"edge_index: node {wrong} is outside 0..{num_nodes - 1}")
        self.num_nodes = num_nodes
        sources, targets = edges.astype(np.int32)
        self._as_given = Adjacency(*group_by_target(sources, targets, num_nodes))
        self._ones: dict[str, np.ndarray] = {}
        self.is_batch = batch is not None
        """Whether it came with the graph of every node."""
        self.graph_of_nodes, self.num_graphs = read_batch(batch, num_nodes, num_graphs)
        self.weights: np.ndarray | None = None
        """The weights of the edges as given [E], float32, in the order of `adjacency`; None: there are none."""
        if edge_weight is not None:
            weights = read_weights(as_array(edge_weight, "edge_weight"), targets.size)
            self.weights = weights_by_target(self._as_given.indptr, targets, weights)
        self._norms: dict[tuple[bool, bool, float], np.ndarray] = {}

    @property
    def num_edges(self) -> int:
        """Number of edges, as given."""
        return self._as_given.num_edges

    def rows(self, domain: str) -> int:
        """Returns the number of rows of a value that lives on nodes or graphs."""
        return self.num_graphs if domain == "graph" else self.num_nodes

    def ones(self, domain: str) -> np.ndarray:
        """Returns a float32 one for every row of a value that lives on nodes or graphs."""
        found = self._ones.get(domain)
        if found is None:
            found = self._ones[domain] = np.ones(self.rows(domain), np.float32)
        return found

    def adjacency(self, *, self_loops: bool) -> Adjacency:
        """Returns the edges as given, or with the self-loops of every node replaced by exactly one."""
        return self._with_loops if self_loops else self._as_given

    def norm(self, *, self_loops: bool, weighted: bool = False, loop_weight: float = 1.0) -> np.ndarray:
        """Returns the coefficient of every edge in the normalized adjacency [E], float32.

        Args:
            self_loops: whether every node has exactly one self-loop.
            weighted: whether edges count as much as they weigh.
            loop_weight: the weight of a self-loop that is added; one that is there keeps its own (unweighted: 1).
        """
        edges = self.adjacency(self_loops=self_loops)
        if not weighted and loop_weight == 1:
            return edges.norm
        key = self_loops, weighted, loop_weight
        if key not in self._norms:
            given = self._as_given
            weights = self.weights if weighted else np.ones(given.num_edges, np.float32)
            assert weights is not None, "the executor has checked that there are weights"
            if self_loops:
                weights = weights_with_loops(given.indptr, given.sources, weights, np.float32(loop_weight))
            self._norms[key] = weighted_norm(edges, weights)
        return self._norms[key]

    def neighbourhood(self, nodes: Any, hops: int) -> Neighbourhood:
        """Returns the part of the graph that decides the results of some nodes, in a program of so many hops.

        Args:
            nodes: whole numbers from 0 to N - 1 [n], in any order.
            hops: `Executable.hops`.

        Raises:
            ValueError: if a node or the number of hops is wrong.
        """
        wanted = as_array(nodes, "nodes")
        wanted = wanted.astype(np.int64) if wanted.size == 0 else wanted
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise ValueError(f"nodes: expected whole numbers [n], got {wanted.dtype} {list(wanted.shape)}")
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.num_nodes):
            wrong = wanted.min() if wanted.min() < 0 else wanted.max()
            raise ValueError(f"nodes: node {wrong} is outside 0..{self.num_nodes - 1}")
        edges, seen = self._as_given, np.zeros(self.num_nodes, bool)
        reached = np.unique(wanted).astype(np.int64)
        seen[reached] = True
        taken = []
        for _ in range(as_count(hops, "hops")):
            taken.append(edges.into(reached))
            reached = np.unique(edges.sources[taken[-1]]).astype(np.int64)
            reached = reached[~seen[reached]]
            seen[reached] = True
        numbers = np.concatenate([np.empty(0, np.int64), *taken])
        kept = np.flatnonzero(seen)
        ends = np.stack([edges.sources[numbers], edges.targets[numbers]])
        weights = None if self.weights is None else self.weights[numbers]
        part = Graph(np.searchsorted(kept, ends), kept.size, edge_weight=weights)
        return Neighbourhood(part, kept, np.searchsorted(kept, wanted))

    # Two threads may both compute a cached property; their results are equal.
    @cached_property
    def _with_loops(self) -> Adjacency:
        return Adjacency(*with_loops(self._as_given.indptr, self._as_given.sources))

    @cached_property
    def members(self) -> Adjacency:
        """The nodes of every graph, as edges from nodes into graphs."""
        return Adjacency(
            *group_by_target(np.arange(self.num_nodes, dtype=np.int32), self.graph_of_nodes, self.num_graphs)
        )


class Neighbourhood(NamedTuple):
    """A part of a graph, such that `run(x[part.nodes], part.graph)[part.rows]` are the results of the nodes asked for.

    Attributes:
        graph: nodes within the number of hops, and all edges into those that are nearer.
        nodes: their numbers in the whole graph [n], ascending.
        rows: where the nodes that were asked for are among them.
    """

    graph: Graph
    nodes: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Limits:
    """The largest inputs that are taken; None: any.

    Attributes:
        max_nodes, max_edges, max_graphs: N, E (as given, without added self-loops) and G.
    """

    max_nodes: int | None = None
    max_edges: int | None = None
    max_graphs: int | None = None

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            if limit is not None:
                as_count(limit, name)

    def check(self, graph: Graph) -> None:
        """Raises ValueError if the graph is too large."""
        for what, number, limit in (
            ("nodes", graph.num_nodes, self.max_nodes),
            ("edges", graph.num_edges, self.max_edges),
            ("graphs", graph.num_graphs, self.max_graphs),
        ):
            if limit is not None and number > limit:
                raise ValueError(f"{number} {what} are more than max_{what}, {limit}")


def read_graph(
    edge_index: Any, num_nodes: int, batch: Any = None, num_graphs: int | None = None, *, edge_weight: Any = None
) -> Graph:
    """Returns the graph of `edge_index`; if that is a Graph, checks its number of nodes and returns it.

    Raises:
        ValueError: if the edges, their weights or the batch are wrong, or a Graph has another size or comes with a
            second batch or other weights.
    """
    if not isinstance(edge_index, Graph):
        return Graph(edge_index, num_nodes, batch, num_graphs, edge_weight=edge_weight)
    if edge_index.num_nodes != num_nodes:
        raise ValueError(f"edge_index: this Graph has {edge_index.num_nodes} nodes, x has {num_nodes} rows")
    if batch is not None or num_graphs is not None:
        raise ValueError("batch: a Graph holds its own; build it as Graph(edge_index, num_nodes, batch)")
    if edge_weight is not None:
        raise ValueError("edge_weight: a Graph holds its own; build it as Graph(..., edge_weight=edge_weight)")
    return edge_index


def read_batch(batch: Any, num_nodes: int, num_graphs: int | None) -> tuple[np.ndarray, int]:
    """Returns the graph number of every node [N], int32, and the number of graphs.

    Raises:
        ValueError: unless `batch` is None or [N] whole numbers from 0 to num_graphs - 1.
    """
    numbers = np.zeros(num_nodes, np.int32) if batch is None else as_array(batch, "batch")
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"batch: expected whole numbers, got {numbers.dtype}")
    if numbers.shape != (num_nodes,):
        raise ValueError(f"batch: expected shape [{num_nodes}], got {list(numbers.shape)}")
    if numbers.size and numbers.min() < 0:
        raise ValueError(f"batch: graph numbers cannot be negative, got {numbers.min()}")
    least = 1 if batch is None else int(numbers.max(initial=-1)) + 1
    if num_graphs is not None:
        graphs = as_count(num_graphs, "num_graphs")
        if graphs < least:
            raise ValueError(f"batch: {graphs} graphs, expected at least {least}")
        return numbers.astype(np.int32), graphs
    if least > max(num_nodes, 1):  # one wrong number would take the memory of as many graphs
        raise ValueError(f"batch: {num_nodes} nodes in {least} graphs, give num_graphs if so many have no node")
    return numbers.astype(np.int32), least
