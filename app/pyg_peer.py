"""The FP32 peer: the same network from stock PyG layers, with the trained weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv

from models import layers
from models.architectures import Architecture


class PyGNetwork(nn.Module):
    """Evaluation forward of `network` in stock PyG (GCN's normalisation cached, which favours the peer)."""

    def __init__(self, network: Architecture) -> None:
        super().__init__()
        self.convs = nn.ModuleList(TWINS[type(conv)](conv) for conv in network.convs)
        self.activation = network.activation

    @torch.inference_mode()
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Shapes: x [N, F] dense; edge_index [2, E]; result [N, C]."""
        for i, conv in enumerate(self.convs):
            x = conv(x if i == 0 else self.activation(x), edge_index)
        return x


def _gcn(conv: layers.GCNConv) -> GCNConv:
    wide, narrow = conv.weight.shape
    twin = GCNConv(wide, narrow, cached=True)
    twin.lin.weight.data = conv.weight.data.T.contiguous()
    twin.bias.data = conv.bias.data
    return twin


def _gat(conv: layers.GATConv) -> GATConv:
    width = conv.attention.shape[2]
    twin = GATConv(conv.weight.shape[0], width, heads=conv.heads)
    twin.lin.weight.data = conv.weight.data.T.contiguous()
    twin.att_src.data, twin.att_dst.data = conv.attention.data[:1], conv.attention.data[1:]
    twin.bias.data = conv.bias.data
    return twin


def _gin(conv: layers.GINConv) -> GINConv:
    linears = conv.mlp.linears
    twins = [nn.Linear(*linear.weight.shape) for linear in linears]
    interleaved = [module for twin in twins for module in (twin, nn.ReLU())]
    result = GINConv(nn.Sequential(*interleaved[:-1]), eps=float(conv.eps.detach()))  # resets its network
    for twin, linear in zip(twins, linears, strict=True):
        twin.load_state_dict({"weight": linear.weight.T, "bias": linear.bias})
    return result


TWINS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    layers.GCNConv: _gcn,
    layers.GATConv: _gat,
    layers.GINConv: _gin,
}
