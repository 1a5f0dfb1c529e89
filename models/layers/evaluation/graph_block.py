"""The edges into a block of nodes."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from models.layers.graph import Graph, Incidence
from models.quantization.sparse import Pattern


class GraphBlock(Graph):
    """The edges of a graph into some nodes that follow one another, for evaluation.

    Targets count from 0 in the block, sources are nodes of the whole graph. `num_nodes` is the number of targets. What
    a layer computes of it are the rows of these nodes: edges keep their order, and so do sums.

    Args:
        whole: the graph, on the host.
        nodes: those of the block.
    """

    def __init__(self, whole: Graph, nodes: slice) -> None:
        self.whole, self.nodes = whole, nodes
        self.edges = slice(int(whole.rowptr[nodes.start]), int(whole.rowptr[nodes.stop]))
        self.num_nodes, self.first_node, self.host = nodes.stop - nodes.start, nodes.start, None
        self.source, self.target = whole.source[self.edges], whole.target[self.edges] - nodes.start
        self.weight = None if whole.weight is None else whole.weight[self.edges]

    def own(self, x: Tensor) -> Tensor:
        """See `Graph`."""
        return x[self.nodes]

    @cached_property
    def sources(self) -> Incidence:
        """See `Graph`."""
        return Incidence(self.source, self.whole.num_nodes)

    @cached_property
    def rowptr(self) -> Tensor:
        """See `Graph`."""
        return self.whole.rowptr[self.nodes.start : self.nodes.stop + 1] - self.edges.start

    @cached_property
    def adjacency(self) -> Pattern:
        """See `Graph`: [targets, all nodes]."""
        return Pattern(self.rowptr, self.source, (self.num_nodes, self.whole.num_nodes))

    @cached_property
    def inverse_sqrt_degree(self) -> Tensor:
        """See `Graph`."""
        return self.whole.inverse_sqrt_degree[self.nodes]

    @cached_property
    def inverse_degree(self) -> Tensor:
        """See `Graph`."""
        return self.whole.inverse_degree[self.nodes]

    @cached_property
    def symmetric_norm(self) -> Tensor:
        """See `Graph`."""
        return self.whole.symmetric_norm[self.edges]
