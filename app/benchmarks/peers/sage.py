"""FP32 counterparts of SAGEConv."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch_geometric.nn import SAGEConv

from app.benchmarks.peers.convolution import WIDTH, ConvolutionPeers, FusedLayer
from app.benchmarks.peers.float_ops import FloatOps, check_width
from app.engine import Graph
from app.engine.kernels import floats as float_kernels
from models import layers
from models.architectures import GraphSAGE


def stock(conv: layers.SAGEConv) -> SAGEConv:
    """PyG's SAGEConv with mean aggregation and root weight."""
    assert conv.root is not None
    assert conv.aggregation == "mean"
    twin = SAGEConv(*conv.root.weight.shape)
    twin.lin_l.weight.data, twin.lin_r.weight.data = (
        linear.weight.data.T.contiguous() for linear in (conv.neighbours, conv.root)
    )
    assert conv.neighbours.bias is not None
    twin.lin_l.bias.data = conv.neighbours.bias.data
    return twin


def fused(conv: layers.SAGEConv, ops: FloatOps) -> FusedLayer:
    """A mean over edges, then both matrix products, with bias and ReLU, block by block."""
    assert conv.root is not None
    of_neighbours, of_root = conv.neighbours.weight.detach(), conv.root.weight.detach()
    assert conv.neighbours.bias is not None
    bias, no_bias = conv.neighbours.bias.detach(), np.zeros(len(of_root), np.float32)
    check_width(no_bias.size)

    def run(x: Tensor, graph: Graph, *, relu: bool) -> Tensor:
        edges, x = graph.adjacency(self_loops=False), x.contiguous()
        factors = edges.inverse_target_degrees[:, None]
        mean = ops.aggregate(float_kernels.edge_sum, x, factors, edges, bias=no_bias, relu=False)
        return ops.linear_sum([(mean, of_neighbours), (x, of_root)], bias, relu=relu)

    return run


PEERS = ConvolutionPeers(
    layer=layers.SAGEConv,
    stock=stock,
    fused=fused,
    networks={"sage": lambda scheme: GraphSAGE(WIDTH, WIDTH, scheme, hidden=WIDTH)},
)
