"""How rows times the weights of a graph convolution reach the neighbours: its exact integer forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor, nn

from models.layers.functional import sum_neighbours
from models.layers.graph import Graph
from models.layers.messages import sum_messages
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.sites import Sites


class EdgeNorm(nn.Module):
    """The paper's form: every message is multiplied by its edge's coefficient d_i^-1/2 d_j^-1/2.

    Sites: `features` (node), `norm` (edge coefficients, never protected), `message` (edge), `aggregate` (node; spared
    where what is behind it rounds).

    Args:
        self_loops: whether every node has one; without, degrees are those of the edges given.
        weighted: whether edges count as much as they weigh.
        loop_weight: the weight of a self-loop that is added.
    """

    def __init__(
        self, sites: Sites, *, self_loops: bool = True, weighted: bool = False, loop_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.self_loops, self.weighted, self.loop_weight = self_loops, weighted, loop_weight
        self.features = sites.carried("features", "node")
        self.norm = sites("norm", "edge", signed=weighted)
        self.message = sites("message", "edge")
        self.aggregate = sites.unless_spared("aggregate", "node")

    def looped(self, graph: Graph) -> Graph:
        """The graph with the self-loops that messages go along."""
        return graph.looped(self.loop_weight) if self.self_loops else graph

    def send(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """What a node sends. Shapes: h [N, F']; protect [N] or None; result [N, F']."""
        return self.features.carried(self.features(h, protect))

    def receive(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """What nodes make of what all send. Shapes: as those of `send`."""
        coefficient = self.norm(self.coefficients(graph))
        protect_source = None if protect is None else protect.index_select(0, graph.source)
        messages = sum_messages(graph, coefficient[:, None], h, self.message, protect=protect_source)
        return self.aggregate(self.features.restored(messages), protect)

    def coefficients(self, graph: Graph) -> Tensor:
        """Of every edge [E]."""
        return graph.symmetric_norm

    def lower(self, builder: ProgramBuilder, x: Ref, weight: Tensor, weights: Site) -> Ref | Deferred:
        """linear, edge_norm, weighted_sum."""
        return self.lower_sum(builder, self.features.lower(builder, builder.linear(x, weight, weights)))

    def lower_coefficients(self, builder: ProgramBuilder) -> Ref:
        """edge_norm."""
        return builder.edge_norm(
            self.norm, self_loops=self.self_loops, weighted=self.weighted, loop_weight=self.loop_weight
        )

    def lower_sum(self, builder: ProgramBuilder, h: Ref) -> Ref | Deferred:
        """What follows once the rows h lie on the grid of `features`."""
        total = builder.weighted_sum(self.lower_coefficients(builder), h, self.message, self_loops=self.self_loops)
        return self.aggregate.lower(builder, total)


class EdgeWeights(EdgeNorm):
    """Every message is multiplied by its edge's weight alone. The graph must have weights. Sites: as EdgeNorm's."""

    def __init__(self, sites: Sites) -> None:
        super().__init__(sites, self_loops=False, weighted=True)

    def coefficients(self, graph: Graph) -> Tensor:
        """The weights [E]."""
        assert graph.weight is not None
        return graph.weight

    def lower_coefficients(self, builder: ProgramBuilder) -> Ref:
        """edge_weight."""
        return builder.edge_weight(self.norm)


class NeighbourSum(nn.Module):
    """The sum A X W alone. Sites: `features`, `aggregate` (node)."""

    def __init__(self, sites: Sites) -> None:
        super().__init__()
        self.features = sites.carried("features", "node")
        self.aggregate = sites.unless_spared("aggregate", "node")

    def looped(self, graph: Graph) -> Graph:
        """The graph with the self-loops that messages go along: its own."""
        return graph

    def send(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """What a node sends. Shapes: h [N, F']; protect [N] or None; result [N, F']."""
        return self.features.carried(self.features(h, protect))

    def receive(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """What nodes make of what all send. Shapes: as those of `send`."""
        return self.aggregate(self.features.restored(sum_neighbours(graph, h)), protect)

    def lower(self, builder: ProgramBuilder, x: Ref, weight: Tensor, weights: Site) -> Ref | Deferred:
        """linear and sum."""
        h = self.features.lower(builder, builder.linear(x, weight, weights))
        return self.aggregate.lower(builder, builder.sum(h, self_loops=False))


class FactoredNorm(NeighbourSum):
    """The operator of EdgeNorm as D^-1/2 (A (D^-1/2 X W)): messages are the quantized features, their sum is integer.

    Sites: `features` (node, behind the first D^-1/2), `aggregate` (node, behind the second).
    """

    def looped(self, graph: Graph) -> Graph:
        """With one self-loop a node."""
        return graph.with_self_loops

    def send(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """See `NeighbourSum`."""
        return super().send(h * graph.inverse_sqrt_degree[:, None], graph, protect)

    def receive(self, h: Tensor, graph: Graph, protect: Tensor | None) -> Tensor:
        """See `NeighbourSum`."""
        total = sum_neighbours(graph, h) * graph.inverse_sqrt_degree[:, None]
        return self.aggregate(self.features.restored(total), protect)

    def lower(self, builder: ProgramBuilder, x: Ref, weight: Tensor, weights: Site) -> Ref | Deferred:
        """linear and sum, each with the degree in its epilogue."""
        scaled = builder.linear(x, weight, weights, row_scale="inverse_sqrt_degree")
        h = self.features.lower(builder, scaled)
        total = builder.sum(h, self_loops=True, row_scale="inverse_sqrt_degree")
        return self.aggregate.lower(builder, total)


Propagation = EdgeNorm | NeighbourSum
"""How rows times the weights reach the neighbours."""

Norm = Literal["edge", "factored"]

NORMS: Mapping[Norm, Callable[[Sites], Propagation]] = {"edge": EdgeNorm, "factored": FactoredNorm}
"""The two forms of one operator: `edge` is the paper's, `factored` needs no per-edge work."""
