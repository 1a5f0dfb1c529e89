"""FP32 counterparts of GCNConv."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GCNConv

from app.benchmarks.peers.convolution import WIDTH, ConvolutionPeers, Forward, FusedLayer
from app.benchmarks.peers.float_ops import FloatOps, check_width
from app.benchmarks.peers.stock import csr_adjacency
from app.engine import Graph
from app.engine.kernels import floats as float_kernels
from models import layers
from models.architectures import GCN, Architecture
from models.layers.convs.propagation import FactoredNorm


def stock(conv: layers.GCNConv) -> GCNConv:
    """PyG's GCNConv, its normalisation cached (which favours it)."""
    twin = GCNConv(*conv.weight.shape, cached=True)
    twin.lin.weight.data = conv.weight.data.T.contiguous()
    assert conv.bias is not None
    twin.bias.data = conv.bias.data
    return twin


def fused(conv: layers.GCNConv, ops: FloatOps) -> FusedLayer:
    """A matrix product, then a weighted sum over edges with bias and ReLU."""
    assert conv.bias is not None
    weight, bias = conv.weight.detach(), conv.bias.detach().numpy()
    factored = isinstance(conv.propagate, FactoredNorm)
    kernel = float_kernels.factored_sum if factored else float_kernels.edge_sum
    check_width(weight.shape[1])

    def run(x: Tensor, graph: Graph, *, relu: bool) -> Tensor:
        edges = graph.adjacency(self_loops=True)
        factors = edges.inverse_sqrt_degrees if factored else edges.norm
        return ops.aggregate(kernel, ops.multiply(x, weight), factors[:, None], edges, bias=bias, relu=relu)

    return run


def matrix_products(network: Architecture, x: Tensor, edge_index: Tensor) -> Forward:
    """Two layers as torch.mm and products with the normalised adjacency, made beforehand."""
    others = edge_index[:, edge_index[0] != edge_index[1]]
    edges = torch.cat([others, torch.arange(len(x), device=x.device).expand(2, -1)], dim=1)
    scale = torch.bincount(edges[1], minlength=len(x)).float().rsqrt()
    adjacency = csr_adjacency(edges, len(x), scale[edges[0]] * scale[edges[1]])
    convs: list[Any] = list(network.to(x.device).convs)
    weights, biases = [conv.weight for conv in convs], [conv.bias for conv in convs]

    @torch.inference_mode()
    def forward() -> Tensor:
        h = torch.relu_((adjacency @ (x @ weights[0])).add_(biases[0]))
        logits: Tensor = (adjacency @ (h @ weights[1])).add_(biases[1])
        return logits

    return forward


PEERS = ConvolutionPeers(
    layer=layers.GCNConv,
    stock=stock,
    fused=fused,
    networks={
        "gcn": lambda scheme: GCN(WIDTH, WIDTH, scheme, hidden=WIDTH),
        "gcn_factored": lambda scheme: GCN(WIDTH, WIDTH, scheme, norm="factored", hidden=WIDTH),
    },
    matrix_products=matrix_products,
)
