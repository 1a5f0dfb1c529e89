"""Graph isomorphism convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.layers.convs.base import Conv
from models.layers.functional import add_neighbour_sum, dropout_factor, scaled, sum_neighbours
from models.layers.graph import Graph
from models.layers.mlp import MLP
from models.quantization.builder import ProgramBuilder, Ref
from models.quantization.sites import Sites
from models.quantization.sparse import Features


class GINConv(Conv):
    """X' = MLP((1 + eps) X + A X) (Xu et al. 2019), sites as in Tailor et al. 2021.

    Sites: `inputs`, `message`, `aggregate`, `update` (all node) and those of the MLP's linear layers. A message
    is its source's own row, so it is quantized once per node before the gather: the same numbers as per edge.
    The MLP has a ReLU (with `batch_norm` behind a BatchNorm) between its linear layers and is not mask-aware, as
    in the paper.

    Shapes:
        x [N, F] dense or sparse; protect [N] bool or None; result [N, widths[-1]].
    """

    def __init__(
        self,
        in_features: int,
        widths: list[int],
        sites: Sites,
        *,
        learn_eps: bool = False,
        dropout: float = 0.0,
        signed_inputs: bool = True,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.eps: Tensor
        if learn_eps:
            self.eps = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("eps", torch.zeros(()))
        self.dropout = dropout
        self.inputs = sites("inputs", "node", signed=signed_inputs)
        self.message = sites("message", "node", signed=signed_inputs)
        self.aggregate = sites("aggregate", "node", signed=signed_inputs)
        self.mlp = MLP(in_features, widths, sites.child("mlp"), batch_norm=batch_norm)
        self.update = sites("update", "node")

    def forward(self, x: Features, graph: Graph, protect: Tensor | None = None) -> Tensor:
        """See the class. Dropout acts on the quantized rows and their messages alike."""
        own: Any = self.inputs(x, protect)
        message: Any = self.message(own, protect)
        factor = dropout_factor(own, self.dropout, training=self.training)
        if factor is not None:
            own, message = scaled(own, factor), scaled(message, factor)
        aggregate = self.aggregate(sum_neighbours(graph, message), protect)
        if self.eps.requires_grad or bool(self.eps):  # a fixed eps of 0 would cost a pass over all rows, there and back
            own = scaled(own, 1.0 + self.eps)
        h: Tensor = self.mlp(add_neighbour_sum(graph, own, aggregate))
        return self.update(h, protect)

    def lower(self, builder: ProgramBuilder, x: Ref) -> Ref:
        """quantize, lookup, sum, add, then the MLP and its regrid to `update`."""
        x = builder.quantize(x, self.inputs)
        message = builder.quantize(x, self.message)
        aggregate = builder.emit("sum", (message,), self.aggregate, message.value.width, self_loops=False)
        h = builder.add(x, aggregate, weights=[float(1.0 + self.eps.detach()), 1.0])
        return builder.quantize(self.mlp.lower(builder, h), self.update)
