"""Graphs: edges are checked once and grouped by target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .adjacency import Adjacency, weighted_norm
from .kernels.grouping import (
    few_with_loops,
    find_edges,
    group_by_target,
    group_few_by_target,
    weights_by_target,
    weights_with_loops,
    with_loops,
)
from .memory import kept
from .reading import as_array, as_count, as_edges, checked, read_batch, read_edges, read_weights
from .workers import MOST_PREPARED, is_soon_prepared

NO_EDGES = np.empty((2, 0), np.int64)

_ONES = np.ones(MOST_PREPARED, np.float32)
"""What small graphs share."""


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
        self.num_nodes = num_nodes
        ends = as_edges(edge_index, "edge_index")
        grouped = _few_by_target(ends, num_nodes)
        if grouped is None:
            sources, targets = checked(ends, "edge_index", num_nodes)
            grouped = _by_target(sources, targets, num_nodes)
        self._as_given = grouped
        self._ones: dict[str, np.ndarray] = {}
        self.is_batch = batch is not None
        """Whether it came with the graph of every node."""
        self.graph_of_nodes, self.num_graphs = read_batch(batch, num_nodes, num_graphs)
        self.weights: np.ndarray | None = None
        """The weights of the edges as given [E], float32, in the order of `adjacency`; None: there are none."""
        if edge_weight is not None:
            weights = read_weights(as_array(edge_weight, "edge_weight"), ends.shape[1])
            self.weights = np.empty(weights.size, np.float32)
            weights_by_target(ends[1].astype(np.int32), weights, self._as_given.indptr[:-1].copy(), self.weights)
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
            rows = self.rows(domain)
            found = self._ones[domain] = _ONES[:rows] if rows <= _ONES.size else np.ones(rows, np.float32)
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

    def with_edges(self, added: Any = NO_EDGES, removed: Any = NO_EDGES, *, edge_weight: Any = None) -> Graph:
        """Returns the graph with some edges more and others fewer, as if it were built anew, but nothing is sorted.

        Args:
            added: edges between its nodes, in order behind those that it has.
            removed: edges that it has; of several alike the one that was given first goes.
            edge_weight: the weights of the added edges, for a graph with weights.

        Shapes:
            added [2, A], removed [2, R], edge_weight [A].

        Raises:
            ValueError: if an edge that is removed is not there, or as for a new graph.
        """
        sources, targets = read_edges(added, "added", self.num_nodes)
        gone = read_edges(removed, "removed", self.num_nodes)
        edges = self._as_given
        numbers = find_edges(edges.indptr, edges.sources, *gone)
        if (numbers < 0).any():
            source, target = gone[:, numbers.argmin()]
            raise ValueError(f"removed: the graph has no edge {source} -> {target}, or fewer of them")
        indptr, change = edges.changed(numbers, targets)
        graph = Graph(NO_EDGES, self.num_nodes)
        graph._as_given = Adjacency(indptr, change(edges.sources, sources))
        graph.is_batch, graph.graph_of_nodes, graph.num_graphs = self.is_batch, self.graph_of_nodes, self.num_graphs
        if self.weights is not None:
            if edge_weight is None and targets.size:
                raise ValueError("edge_weight: the graph has weights, give those of the edges that are added")
            of_added = as_array([] if edge_weight is None else edge_weight, "edge_weight")
            graph.weights = change(self.weights, read_weights(of_added, targets.size))
        elif edge_weight is not None:
            raise ValueError("edge_weight: the graph has no weights, leave them out")
        return graph

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
        inside = np.flatnonzero(seen)
        ends = np.stack([edges.sources[numbers], edges.targets[numbers]])
        weights = None if self.weights is None else self.weights[numbers]
        part = Graph(np.searchsorted(inside, ends), inside.size, edge_weight=weights)
        return Neighbourhood(part, inside, np.searchsorted(inside, wanted))

    @kept
    def _with_loops(self) -> Adjacency:
        given = self._as_given
        ends, looped = np.empty_like(given.indptr), np.empty(given.num_edges + self.num_nodes, np.int32)
        add = few_with_loops if is_soon_prepared(self.num_nodes, given.num_edges) else with_loops
        add(given.indptr, given.sources, ends, looped)
        return Adjacency(ends, looped[: ends[-1]])

    @kept
    def members(self) -> Adjacency:
        """The nodes of every graph, as edges from nodes into graphs."""
        nodes = np.arange(self.num_nodes, dtype=np.int32)
        if self.num_graphs == 1:
            return Adjacency(np.array([0, self.num_nodes], np.int64), nodes)
        few = _few_by_target(np.stack([nodes, self.graph_of_nodes]), self.num_graphs)
        return few or _by_target(nodes, self.graph_of_nodes, self.num_graphs)


def _by_target(sources: np.ndarray, targets: np.ndarray, count: int) -> Adjacency:
    """Returns edges [E], int32, grouped by their targets, of which there are `count`."""
    indptr, grouped = np.zeros(count + 1, np.int64), np.empty(sources.size, np.int32)
    group_by_target(sources, targets, np.empty(count, np.int64), indptr, grouped)
    return Adjacency(indptr, grouped)


def _few_by_target(ends: np.ndarray, count: int) -> Adjacency | None:
    """Returns few edges [2, E] grouped by target; None if they are many, or an end is none of `count` nodes."""
    number = ends.shape[1]
    if not is_soon_prepared(count, number):
        return None
    indptr, grouped = np.empty(count + 1, np.int64), np.empty(number, np.int32)
    few = ends.astype(np.int64, order="C", copy=False)
    return Adjacency(indptr, grouped) if group_few_by_target(few, np.empty(count, np.int64), indptr, grouped) else None


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
