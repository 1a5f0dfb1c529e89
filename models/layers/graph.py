"""The graph of a forward pass, sorted by target once and shared by all layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from models.layers.edges.given import check_batch, check_edges
from models.layers.edges.loops import with_loops
from models.layers.edges.weights import check_weights, weighted_norm
from models.layers.neighbourhood import Neighbourhood
from models.layers.tensor_cache import TensorCache, sent
from models.quantization.sparse import Pattern, SparseRows, extremes, is_sorted, lasting, row_pointers, stable_order

_GRAPHS, _FEATURES = TensorCache(), TensorCache()
"""Graphs by edge_index, and there by edge_weight, or again by edge_index without one; sparse rows by features."""


class Incidence:
    """Assigns every edge to a node (its source or its target), to gather rows of nodes or to sum rows of edges.

    Equally, assigns every node to a graph of a batch. Gather and sum are each other's gradient.

    Args:
        rowptr: of an index that ascends, where the edges of each node begin [N + 1]; None: not known.

    Shapes:
        index [E] int64; gather: [N, ...] -> [E, ...]; sum: [E, F] -> [N, F].
    """

    def __init__(self, index: Tensor, num_nodes: int, rowptr: Tensor | None = None) -> None:
        self.index, self.num_nodes, self._rowptr = index, num_nodes, rowptr

    @cached_property
    @lasting()
    def pattern(self) -> Pattern:
        """The matrix [N, E] with a one where the edge belongs to the node."""
        edges = self.index.numel()
        if self._rowptr is not None:
            return Pattern(self._rowptr, torch.arange(edges, device=self.index.device), (self.num_nodes, edges))
        order = stable_order(self.index, self.num_nodes)
        rowptr = row_pointers(self.index.index_select(0, order), self.num_nodes)
        return Pattern(rowptr, order, (self.num_nodes, edges))

    @cached_property
    @lasting()
    def counts(self) -> Tensor:
        """The number of edges of every node [N], int32."""
        return self.pattern.rowptr.diff()

    def gather(self, x: Tensor) -> Tensor:
        """Returns for every edge the row of its node, differentiable."""
        return _gather(self, x)

    def sum(self, messages: Tensor) -> Tensor:
        """Sums over the edges of every node, differentiable."""
        return _sum(self, messages)

    def add_up(self, messages: Tensor) -> Tensor:
        """Sums over the edges of every node [E, ...] -> [N, ...], without autograd."""
        columns = messages.reshape(messages.shape[0], math.prod(messages.shape[1:]))
        return self.pattern.add_up(columns).view(self.num_nodes, *messages.shape[1:])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, incidence: Incidence, x: Tensor) -> Tensor:
        ctx.incidence = incidence
        return x.index_select(0, incidence.index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.incidence.add_up(gradient.contiguous())


_gather: Callable[[Incidence, Tensor], Tensor] = _Gather.apply


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, incidence: Incidence, messages: Tensor) -> Tensor:
        ctx.incidence = incidence
        return incidence.add_up(messages)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient.index_select(0, ctx.incidence.index)


_sum: Callable[[Incidence, Tensor], Tensor] = _Sum.apply


class Graph:
    """Directed edges, sorted by target (stable), and what layers derive from them, computed once.

    On a GPU, whatever has a size that only its values tell is taken from the same graph on the host, so that training
    never waits for the GPU.

    Attributes:
        weight: of the edges; None: all weigh 1.
        host: the same graph on the host, if this one is its copy on a device: its edges are sorted already.
        first_node: the first of the nodes that edges enter, among the rows that sources are of; see `GraphBlock`.

    Shapes:
        source, target [E] int64; weight [E] float32.
    """

    first_node = 0

    def __init__(
        self, source: Tensor, target: Tensor, num_nodes: int, weight: Tensor | None = None, *, host: Graph | None = None
    ) -> None:
        self.num_nodes, self.host = num_nodes, host
        if host is None and not is_sorted(target):
            order = stable_order(target, num_nodes)  # index_select: four times as fast as [] on the host
            source, target = source.index_select(0, order), target.index_select(0, order)
            weight = None if weight is None else weight.index_select(0, order)
        self.source, self.target = source.contiguous(), target.contiguous()
        self.weight = None if weight is None else weight.float()
        self._looped: dict[float, Graph] = {}

    def on(self, device: torch.device) -> Graph:
        """Returns a copy on a device that knows this graph as its `host`."""
        weight = None if self.weight is None else sent(self.weight, device)
        return Graph(sent(self.source, device), sent(self.target, device), self.num_nodes, weight, host=self)

    @classmethod
    def of(cls, edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> Graph:
        """Returns the graph of `edge_index` [2, E] (source, target) and `edge_weight` [E], cached while these live.

        Raises:
            ValueError: if edge_index has another shape or no whole numbers, an edge names a node outside
                0..num_nodes - 1, or weights are not [E] finite numbers without gradient.
        """
        check_edges(edge_index)
        graphs = _GRAPHS.get_or_make(edge_index, TensorCache)
        key = edge_index if edge_weight is None else edge_weight
        known: Graph | None = graphs.get(key)
        if known is not None and known.num_nodes == num_nodes:
            return known
        first, last = extremes(edge_index)
        if first < 0 or last >= num_nodes:
            raise ValueError(f"edge_index: nodes must lie in 0..{num_nodes - 1} for {num_nodes} rows of features")
        if edge_weight is not None:
            check_weights(edge_weight, edge_index.shape[1])
        with lasting():
            source, target = held(edge_index)
            return graphs.put(key, cls(source, target, num_nodes, None if edge_weight is None else held(edge_weight)))

    @classmethod
    @lasting()
    def send(cls, edges: tuple[Tensor, Tensor], num_nodes: int, weights: tuple[Tensor, Tensor] | None = None) -> None:
        """Lets `of` find, for edges and weights on a device, a copy of the graph that they make on the host.

        Args:
            edges, weights: on the host, and their copies on the device.

        Raises:
            ValueError: as `of`.
        """
        graph = cls.of(edges[0], num_nodes, None if weights is None else weights[0])
        there = edges[1] if weights is None else weights[1]
        _GRAPHS.get_or_make(edges[1], TensorCache).get_or_make(there, lambda: graph.on(there.device))

    @cached_property
    @lasting()
    def sources(self) -> Incidence:
        """Assigns every edge to the node it leaves."""
        return Incidence(self.source, self.num_nodes)

    @cached_property
    @lasting()
    def targets(self) -> Incidence:
        """Assigns every edge to the node it enters."""
        return Incidence(self.target, self.num_nodes, self.rowptr)

    @cached_property
    @lasting()
    def adjacency(self) -> Pattern:
        """The matrix [N, N] with a one at (target, source)."""
        return Pattern(self.rowptr, self.source, (self.num_nodes, self.num_nodes))

    @cached_property
    @lasting()
    def rowptr(self) -> Tensor:
        """Where the edges into each node begin [N + 1], int32."""
        return row_pointers(self.target, self.num_nodes)

    @property
    def with_self_loops(self) -> Graph:
        """The same graph with every node's self-loops replaced by exactly one."""
        return self.looped(1.0)

    @lasting()
    def looped(self, loop_weight: float) -> Graph:
        """Returns the same with one self-loop a node, as PyG's `add_remaining_self_loops`, computed once.

        A self-loop that is there keeps its weight, the last one's of several; one that is added weighs `loop_weight`.
        """
        if loop_weight not in self._looped:
            here = self.host
            self._looped[loop_weight] = (
                self._with_loops(loop_weight) if here is None else here.looped(loop_weight).on(self.source.device)
            )
        return self._looped[loop_weight]

    def _with_loops(self, loop_weight: float) -> Graph:
        edges = self.source, self.target, self.weight
        source, target, weight = with_loops(*edges, num_nodes=self.num_nodes, loop_weight=loop_weight)
        return Graph(source, target, self.num_nodes, weight)

    @cached_property
    @lasting()
    def inverse_sqrt_degree(self) -> Tensor:
        """d_i^-1/2 [N] with d the number of edges into i; 0 for a node without."""
        degree = self.rowptr.diff()
        root = degree.double().sqrt().float()  # rounded as IEEE asks on every CPU, which MKL's root of a float32 is not
        return torch.where(degree > 0, 1.0 / root, torch.zeros_like(root))

    @cached_property
    @lasting()
    def inverse_degree(self) -> Tensor:
        """1 / d_i [N] with d the number of edges into i; 0 for a node without."""
        degree = self.rowptr.diff().float()
        return torch.where(degree > 0, 1.0 / degree, torch.zeros_like(degree))

    @cached_property
    @lasting()
    def symmetric_norm(self) -> Tensor:
        """d_source^-1/2 d_target^-1/2 of every edge [E] (Kipf & Welling 2017); with weights see `weighted_norm`."""
        if self.weight is not None and self.host is not None:  # sums in the order of the edges, as the engine's
            return sent(self.host.symmetric_norm, self.source.device)
        if self.weight is not None:
            return weighted_norm(self.source, self.target, self.weight, self.num_nodes)
        factor = self.inverse_sqrt_degree
        return factor.index_select(0, self.source) * factor.index_select(0, self.target)

    def own(self, x: Tensor) -> Tensor:
        """The rows of the nodes that edges enter, of x [N, ...]: all; see `GraphBlock`."""
        return x

    @cached_property
    def _neighbourhoods(self) -> TensorCache:
        return TensorCache()

    def knows_neighbourhood(self, pattern: Pattern) -> bool:
        """Whether `neighbourhood` was asked for already, so that it costs nothing."""
        return self._neighbourhoods.get(pattern.cols) is not None

    def neighbourhood(self, pattern: Pattern) -> Neighbourhood:
        """Returns how sparse rows with `pattern` are summed over neighbours; cached while the pattern lives."""
        return self._neighbourhoods.get_or_make(pattern.cols, lambda: Neighbourhood(self, pattern))


def held(x: Tensor) -> Tensor:
    """Returns a tensor that shares its memory but lets caches see `x` die; of inference mode a copy, for training."""
    return x.clone() if x.is_inference() else x.detach()


def graphs_of(batch: Tensor | None, num_graphs: int | None, x: Tensor) -> Incidence:
    """Assigns every row of `x` to its graph by the graph's number in `batch` [N]; None: all rows are of one graph.

    Raises:
        ValueError: if a number is negative, not whole or not below `num_graphs`, or there are not as many as rows.
    """
    rows = x.shape[0]
    if batch is None:
        return Incidence(torch.zeros(rows, dtype=torch.int64, device=x.device), 1)
    check_batch(batch, rows)
    if num_graphs is not None and batch.device.type != "cpu":  # checked there, nobody waits
        torch._assert_async(((batch >= 0) & (batch < num_graphs)).all())
        return Incidence(batch, num_graphs)
    first, last = extremes(batch)
    graphs = last + 1 if num_graphs is None else num_graphs
    if first < 0 or last >= graphs:
        wrong = first if first < 0 else last
        raise ValueError(f"batch: graph {wrong} is none of the {graphs} graphs, which are numbered from 0")
    return Incidence(batch, graphs)


def features_of(x: Tensor) -> Tensor | SparseRows:
    """Returns sparse CSR features as `SparseRows` (cached while the tensor lives), and dense ones as they are."""
    if x.layout != torch.sparse_csr:
        return x
    return _FEATURES.get_or_make(x, lambda: SparseRows.from_tensor(x))
