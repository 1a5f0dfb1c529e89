"""Graph convolution whose messages are multiplied by the weights of their edges."""

from __future__ import annotations

from torch import Tensor

from models.layers.convs.base import Conv, Sent
from models.layers.convs.propagation import EdgeWeights
from models.layers.graph import Graph
from models.layers.linear import QuantLinear
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.sites import Sites


class WeightedConv(Conv):
    """x_i' = W_root x_i + W_neighbours sum of w_ij x_j over the in-neighbours j + b (Morris et al. 2019).

    Sites: `inputs` (node), those of EdgeWeights, `update` (node), `root.weights`, `root.features`,
    `neighbours.weights`, `neighbours.features`. All node sites follow the mask.

    Shapes:
        x [N, F] dense; weights [F, F'] each; protect [N] bool or None; result [N, F'].
    """

    reads_sparse = False

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sites: Sites,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        signed_inputs: bool = True,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.inputs = sites("inputs", "node", signed=signed_inputs)
        self.propagate = EdgeWeights(sites)
        self.root = QuantLinear(in_features, out_features, sites.child("root", spared=["inputs"]), bias=False)
        self.neighbours = QuantLinear(
            in_features, out_features, sites.child("neighbours", spared=["inputs"]), bias=bias
        )
        self.update = sites("update", "node")

    def send(self, own: Tensor, graph: Graph, protect: Tensor | None) -> Sent:
        """The rows, as the propagation sends them."""
        return (self.propagate.send(own, graph, protect),)

    def receive(self, own: Tensor, sent: Sent, graph: Graph, protect: Tensor | None) -> Tensor:
        """See the class."""
        of_neighbours = self.neighbours(self.propagate.receive(sent[0], graph, protect), protect)
        h: Tensor = of_neighbours + self.root(own, protect)
        return self.update(h, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """quantize, lookup, edge_weight, weighted_sum, two linears, add."""
        own = self.inputs.lower(builder, x)
        aggregate = self.propagate.lower_sum(builder, builder.quantize(own, self.propagate.features))
        of_neighbours, of_root = self.neighbours.lower(builder, aggregate), self.root.lower(builder, own)
        return self.update.lower(builder, builder.add(of_neighbours, of_root))
