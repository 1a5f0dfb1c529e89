"""FP32 counterparts of GINConv."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch_geometric.nn import GINConv

from app.benchmarks.peers.convolution import WIDTH, ConvolutionPeers, FusedLayer
from app.benchmarks.peers.float_ops import FloatOps, check_width
from app.benchmarks.peers.stock import stock_twin
from app.engine import Graph
from app.engine.kernels import floats as float_kernels
from models import layers
from models.architectures import GIN


def stock(conv: layers.GINConv) -> GINConv:
    """PyG's GINConv around the stock twin of the MLP."""
    twin = GINConv(nn.Identity(), eps=float(conv.eps.detach()))
    twin.nn = stock_twin(conv.mlp)  # afterwards: its constructor draws the parameters of its network anew
    return twin


def fused(conv: layers.GINConv, ops: FloatOps) -> FusedLayer:
    """A sum over edges, then the linear layers of the MLP, each with its bias and ReLU."""
    assert isinstance(conv.mlp, layers.MLP)
    linears: list[Any] = conv.mlp.linears
    steps = [(linear.weight.detach(), linear.bias.detach()) for linear in linears]
    self_factor = np.full((1, 1), 1.0 + float(conv.eps.detach()), np.float32)
    no_bias = np.zeros(len(steps[0][0]), np.float32)
    check_width(no_bias.size)

    def run(x: Tensor, graph: Graph, *, relu: bool) -> Tensor:
        edges = graph.adjacency(self_loops=False)
        h = ops.aggregate(float_kernels.own_sum, x.contiguous(), self_factor, edges, bias=no_bias, relu=False)
        for number, (weight, bias) in enumerate(steps):
            h = ops.linear(h, weight, bias, relu=relu or number < len(steps) - 1)
        return h

    return run


PEERS = ConvolutionPeers(
    layer=layers.GINConv,
    stock=stock,
    fused=fused,
    networks={"gin": lambda scheme: GIN(WIDTH, WIDTH, scheme, hidden=WIDTH, mlp_layers=2)},
)
