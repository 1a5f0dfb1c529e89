"""Graph isomorphism convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.layers.blocks.mlp import MLP
from models.layers.convs.base import NodeMessageConv, Sent
from models.layers.functional import add_neighbour_sum, scaled, sum_neighbours
from models.layers.graph import Graph
from models.layers.steps import Rows
from models.quantization.builder import Deferred, ProgramBuilder, Ref
from models.quantization.sites import Sites


class GINConv(NodeMessageConv):
    """X' = MLP((1 + eps) X + A X) (Xu et al. 2019), sites as in Tailor et al. 2021.

    Sites: those of NodeMessageConv, `update` (node) and those of the MLP, which is not mask-aware, as in the paper.

    Shapes:
        x [N, F] dense or sparse; protect [N] bool or None; result [N, F'] as the MLP's.
    """

    def __init__(
        self,
        mlp: MLP | Rows,
        sites: Sites,
        *,
        learn_eps: bool = False,
        dropout: float = 0.0,
        signed_inputs: bool = True,
        signed_outputs: bool = True,
    ) -> None:
        super().__init__(sites, dropout=dropout, signed_inputs=signed_inputs)
        self.eps: Tensor
        if learn_eps:
            self.eps = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("eps", torch.zeros(()))
        self.mlp = mlp
        self.update = sites.unless_spared("update", "node", signed=signed_outputs)

    def receive(self, own: Any, sent: Sent, graph: Graph, protect: Tensor | None) -> Tensor:
        """See the class."""
        aggregate = self.aggregate(sum_neighbours(graph, *sent), protect)
        if self.eps.requires_grad or self.eps.device.type != "cpu" or bool(self.eps):
            # on a CPU a fixed eps of 0 would cost a pass over all rows, there and back; on a GPU asking costs more
            own = scaled(own, 1.0 + self.eps)
        h: Tensor = self.mlp(add_neighbour_sum(graph, own, sent[0], aggregate))
        return self.update(h, protect)

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref | Deferred:
        """quantize, lookup, sum, add, then the MLP and its regrid to `update`."""
        x, message = self.lower_rows_and_messages(builder, x)
        aggregate = builder.quantize(builder.sum(message, self_loops=False), self.aggregate)
        h = builder.add(x, aggregate, weights=[float(1.0 + self.eps.detach()), 1.0])
        return self.update.lower(builder, self.mlp.lower(builder, h))
