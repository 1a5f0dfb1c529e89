"""GraphSAGE convolution with mean aggregation."""

from __future__ import annotations

from torch import Tensor

from models.layers.convs.base import NodeMessageConv
from models.layers.functional import mean_neighbours
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class SAGEConv(NodeMessageConv):
    """x_i' = W_root x_i + W_neighbours mean of x_j over the in-neighbours j + b (Hamilton et al. 2017).

    The mean is 0 where no edge enters; parallel edges count as often as they come.

    Sites: those of NodeMessageConv (`aggregate` is the mean), `update` (node), `root.weights`, `root.features`,
    `neighbours.weights`, `neighbours.features`. All node sites follow the mask.

    Shapes:
        x [N, F] dense or sparse; weights [F, F'] each; protect [N] bool or None; result [N, F'].
    """

    def __init__(
        self, in_features: int, out_features: int, sites: Sites, *, dropout: float = 0.0, signed_inputs: bool = True
    ) -> None:
        super().__init__(sites, dropout=dropout, signed_inputs=signed_inputs)
        self.root = QuantLinear(in_features, out_features, sites.child("root"), bias=False, reads_codes=True)
        self.neighbours = QuantLinear(in_features, out_features, sites.child("neighbours"), reads_codes=True)
        self.update = sites("update", "node")

    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """See the class."""
        own, message = self.rows_and_messages(x, protect)
        aggregate = self.aggregate(mean_neighbours(graph, message), protect)
        h: Tensor = self.neighbours(aggregate, protect) + self.root(own, protect)
        return self.update(h, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref:
        """quantize, lookup, sum with the inverse degree in its epilogue, two linears, add."""
        x, message = self.lower_rows_and_messages(builder, x)
        aggregate = builder.emit(
            "sum", (message,), self.aggregate, message.value.width, self_loops=False, row_scale="inverse_degree"
        )
        of_neighbours, of_root = self.neighbours.lower(builder, aggregate), self.root.lower(builder, x)
        return builder.quantize(builder.add(of_neighbours, of_root), self.update)
