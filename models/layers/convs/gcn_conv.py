"""Graph convolution in its exact integer forms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.layers.convs.base import Conv, Sent
from models.layers.convs.propagation import EdgeNorm, Propagation
from models.layers.graph import Graph
from models.layers.products import matmul
from models.quantization.builder import Deferred, ProgramBuilder, Ref, codes_of
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class GCNConv(Conv):
    """X' = D^-1/2 (A + I) D^-1/2 X W + b (Kipf & Welling 2017), sites as in Tailor et al. 2021.

    `propagate` makes what stands for D^-1/2 (A + I) D^-1/2: see propagation.py.

    Sites: `inputs` (node), `weights` (parameter), those of the propagation, `update` (node, behind the bias).
    `dropout` acts on the quantized inputs.

    Shapes:
        x [N, F] dense or sparse; weight [F, F']; protect [N] bool or None; result [N, F'].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        sites: Sites,
        *,
        propagate: Callable[[Sites], Propagation] = EdgeNorm,
        dropout: float = 0.0,
        signed_inputs: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        nn.init.xavier_uniform_(self.weight)
        self.dropout = dropout
        self.inputs = sites.unless_spared("inputs", "node", signed=signed_inputs)
        self.weights = sites.matrix("weight")
        self.propagate = propagate(sites)
        self.update = sites.unless_spared("update", "node")

    keeps_own = False

    def looped(self, graph: Graph) -> Graph:
        """See the propagation."""
        return self.propagate.looped(graph)

    def send(self, own: Features, graph: Graph, protect: Tensor | None) -> Sent:
        """Rows times the weights, as the propagation sends them."""
        return (self.propagate.send(matmul(own, self.weights(self.weight)), graph, protect),)

    def receive(self, own: None, sent: Sent, graph: Graph, protect: Tensor | None) -> Tensor:
        """See the class."""
        h = self.propagate.receive(sent[0], graph, protect)
        return self.update(h if self.bias is None else h + self.bias, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """quantize, the propagation's ops, whose last has bias and `update` in its epilogue, or requantize."""
        x = codes_of(self.inputs.lower(builder, x))
        aggregate = self.propagate.lower(builder, x, self.weight, self.weights)
        return self.update.lower(builder, builder.shift(aggregate, self.bias))
