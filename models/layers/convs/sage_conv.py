"""GraphSAGE convolution with mean aggregation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from models.layers.convs.base import Conv
from models.layers.functional import dropout_factor, mean_neighbours, scaled
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class SAGEConv(Conv):
    """x_i' = W_root x_i + W_neighbours mean of x_j over the in-neighbours j + b (Hamilton et al. 2017).

    The mean is 0 where no edge enters; parallel edges count as often as they come.

    Sites: `inputs`, `message`, `aggregate` (the mean), `update` (all node), `root.weights`, `root.features`,
    `neighbours.weights`, `neighbours.features`. A message is its source's own row, so it is quantized once per node.
    As in GINConv, dropout acts on the quantized rows and their messages alike. All node sites follow the mask.

    Shapes:
        x [N, F] dense or sparse; weights [F, F'] each; protect [N] bool or None; result [N, F'].
    """

    def __init__(
        self, in_features: int, out_features: int, sites: Sites, *, dropout: float = 0.0, signed_inputs: bool = True
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.inputs = sites("inputs", "node", signed=signed_inputs)
        self.message = sites("message", "node", signed=signed_inputs)
        self.aggregate = sites("aggregate", "node", signed=signed_inputs)
        self.root = QuantLinear(in_features, out_features, sites.child("root"), bias=False, reads_codes=True)
        self.neighbours = QuantLinear(in_features, out_features, sites.child("neighbours"), reads_codes=True)
        self.update = sites("update", "node")

    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """See the class."""
        own: Any = self.inputs(x, protect)
        message: Any = self.message(own, protect)
        factor = dropout_factor(own, self.dropout, training=self.training)
        if factor is not None:
            own, message = scaled(own, factor), scaled(message, factor)
        aggregate = self.aggregate(mean_neighbours(graph, message), protect)
        h: Tensor = self.neighbours(aggregate, protect) + self.root(own, protect)
        return self.update(h, protect)

    def lower(self, builder: ProgramBuilder, x: Ref) -> Ref:
        """quantize, lookup, sum with the inverse degree in its epilogue, two linears, add."""
        x = builder.quantize(x, self.inputs)
        message = builder.quantize(x, self.message)
        aggregate = builder.emit(
            "sum", (message,), self.aggregate, message.value.width, self_loops=False, row_scale="inverse_degree"
        )
        of_neighbours, of_root = self.neighbours.lower(builder, aggregate), self.root.lower(builder, x)
        return builder.quantize(builder.add(of_neighbours, of_root), self.update)
