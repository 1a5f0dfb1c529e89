"""GraphSAGE convolution: two linear layers, of a node's own row and of what its in-neighbours send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import Tensor

from models.layers.convs.base import NodeMessageConv, Sent
from models.layers.functional import max_neighbours, mean_neighbours, sum_neighbours
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.layers.norm import UnitLength
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.fake_quantize import Site
from models.quantization.sites import Sites

Aggregation = Literal["mean", "sum", "max"]

AGGREGATIONS: Mapping[Aggregation, Callable[[Graph, Any], Any]] = {
    "mean": mean_neighbours,
    "sum": sum_neighbours,
    "max": max_neighbours,
}
"""Of the rows of in-neighbours; 0 where no edge enters. Parallel edges count as often as they come."""


class SAGEConv(NodeMessageConv):
    """x_i' = W_root x_i + W_neighbours aggregation of x_j over the in-neighbours j + b (Hamilton et al. 2017).

    With a sum it is the graph convolution of Morris et al. 2019. Without `root` the first term is left out. With
    `normalize` every row is divided by its length, at a further site `normalized` (node).

    Sites: those of NodeMessageConv, `update` (node), `root.weights`, `root.features`, `neighbours.weights`,
    `neighbours.features`. All node sites follow the mask.

    Shapes:
        x [N, F] dense or sparse (for a maximum: dense); weights [F, F'] each; protect [N] bool or None; result [N, F'].
    """

    update: Site

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sites: Sites,
        *,
        aggregation: Aggregation = "mean",
        root: bool = True,
        normalize: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        signed_inputs: bool = True,
    ) -> None:
        super().__init__(sites, dropout=dropout, signed_inputs=signed_inputs)
        self.aggregation: Aggregation = aggregation
        self.reads_sparse = aggregation != "max"
        own = QuantLinear(in_features, out_features, sites.child("root", spared=["inputs"]), bias=False)
        self.root = own if root else None
        self.neighbours = QuantLinear(
            in_features, out_features, sites.child("neighbours", spared=["inputs"]), bias=bias
        )
        self.update = sites("update", "node")
        self.length = UnitLength() if normalize else None
        self.normalized = sites("normalized", "node") if normalize else None

    @property
    def output_site(self) -> Site:
        """The site of its result."""
        return self.update if self.normalized is None else self.normalized

    @property
    def keeps_own(self) -> bool:
        """Unless there is no root."""
        return self.root is not None

    def receive(self, own: Any, sent: Sent, graph: Graph, protect: Tensor | None) -> Tensor:
        """See the class."""
        aggregate = self.aggregate(AGGREGATIONS[self.aggregation](graph, *sent), protect)
        h: Tensor = self.neighbours(aggregate, protect)
        y: Tensor = self.update(h if self.root is None else h + self.root(own, protect), protect)
        return y if self.length is None or self.normalized is None else self.normalized(self.length(y), protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """quantize, lookup, sum (a mean's with the inverse degree in its epilogue) or maximum, linears, add."""
        x, message = self.lower_rows_and_messages(builder, x)
        of_neighbours = self.neighbours.lower(builder, self._lower_aggregate(builder, message))
        total = of_neighbours if self.root is None else builder.add(of_neighbours, self.root.lower(builder, x))
        y = builder.quantize(total, self.update)
        if self.length is None or self.normalized is None:
            return y
        return builder.quantize(self.length.lower(builder, y), self.normalized)

    def _lower_aggregate(self, builder: ProgramBuilder, message: Ref) -> Ref:
        if self.aggregation == "max":
            return builder.neighbour_max(message, self.aggregate)
        scale: dict[str, Any] = {"row_scale": "inverse_degree"} if self.aggregation == "mean" else {}
        return builder.quantize(builder.sum(message, self_loops=False, **scale), self.aggregate)
