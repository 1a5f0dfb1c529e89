"""FP32 counterparts of GATConv."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn import GATConv

from app.benchmarks.peers.convolution import WIDTH, ConvolutionPeers, FusedLayer
from app.benchmarks.peers.float_ops import FloatOps, check_width
from app.engine import Graph
from app.engine.kernels import floats as float_kernels
from models import layers
from models.architectures import GAT
from models.layers.convs.attention import NEGATIVE_SLOPE


def stock(conv: layers.GATConv) -> GATConv:
    """PyG's GATConv."""
    width = conv.attention.shape[2]
    twin = GATConv(conv.weight.shape[0], width, heads=conv.heads, bias=conv.bias is not None)
    twin.lin.weight.data = conv.weight.data.T.contiguous()
    twin.att_src.data, twin.att_dst.data = conv.attention.data[:1], conv.attention.data[1:]
    if conv.bias is not None:
        twin.bias.data = conv.bias.data
    return twin


def fused(conv: layers.GATConv, ops: FloatOps) -> FusedLayer:
    """Two matrix products (rows, then scores), the softmax over edges, then a weighted sum with bias and ReLU."""
    weight, heads = conv.weight.detach(), conv.heads
    bias = torch.zeros(weight.shape[1]) if conv.bias is None else conv.bias.detach()
    vectors = score_matrix(conv.attention.detach())
    check_width(weight.shape[1] // heads)

    def run(x: Tensor, graph: Graph, *, relu: bool) -> Tensor:
        edges = graph.adjacency(self_loops=True)
        h = ops.multiply(x, weight)
        coefficients = ops.attention(ops.multiply(h, vectors), NEGATIVE_SLOPE, edges)
        return ops.aggregate(float_kernels.edge_sum, h, coefficients, edges, bias=bias.numpy(), relu=relu)

    return run


def score_matrix(attention: Tensor) -> Tensor:
    """Vectors [2, H, C] as the matrix [H * C, 2 * H] that takes rows to the scores of source and target."""
    _, heads, channels = attention.shape
    blocks = torch.eye(heads)[:, None, None] * attention.permute(1, 2, 0)[..., None]  # [H, C, 2, H]
    return blocks.reshape(heads * channels, 2 * heads)


PEERS = ConvolutionPeers(
    layer=layers.GATConv,
    stock=stock,
    fused=fused,
    networks={"gat": lambda scheme: GAT(WIDTH, WIDTH, scheme, hidden=WIDTH // 8, heads=8, activation="relu")},
    on_csr=False,  # attention is no product of matrices
)
