"""The FP32 peer: the same network from stock PyG layers, with the trained weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, global_add_pool, global_mean_pool

from models import layers
from models.architectures import Architecture


def float_bytes(network: Architecture) -> int:
    """What the parameters take in float32."""
    return 4 * sum(parameter.numel() for parameter in network.parameters())


class PyGNetwork(nn.Module):
    """Evaluation forward of `network` in stock PyG (GCN's normalisation cached, which favours the peer)."""

    def __init__(self, network: Architecture) -> None:
        super().__init__()
        self.embedding = twin(network.embedding) if network.embedding is not None else None
        self.convs = nn.ModuleList(twin(conv) for conv in network.convs)
        self.transitions = nn.ModuleList(twin(transition) for transition in network.transitions)
        self.residual = [transition.residual is not None for transition in network.transitions]
        readout = network.readout
        self.heads = nn.ModuleList(twin(head) for head in readout.heads) if readout else None
        self.pool = global_mean_pool if readout and readout.pool == "mean" else global_add_pool

    @torch.inference_mode()
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        """Shapes: x [N, F] dense, or categories [N, 1]; edge_index [2, E]; batch [N]; result [N or G, C]."""
        rows = [x if self.embedding is None else self.embedding(x).view(len(x), -1)]
        for i, conv in enumerate(self.convs):
            h = conv(rows[-1], edge_index)
            if i < len(self.transitions):
                h = self.transitions[i](h) + (rows[-1] if self.residual[i] else 0.0)
            rows.append(h)
        if self.heads is None:
            return rows[-1]
        read = rows[-len(self.heads) :]
        return sum(head(self.pool(h, batch)) for head, h in zip(self.heads, read, strict=True))


def twin(module: nn.Module) -> nn.Module:
    """The stock module that computes what a layer of ours computes in evaluation; sites vanish."""
    if isinstance(module, (nn.Sequential, nn.ModuleList)):
        return nn.Sequential(*(twin(step) for step in module if type(step) in TWINS))
    return TWINS[type(module)](module)


def _gcn(conv: layers.GCNConv) -> GCNConv:
    wide, narrow = conv.weight.shape
    stock = GCNConv(wide, narrow, cached=True)
    stock.lin.weight.data = conv.weight.data.T.contiguous()
    stock.bias.data = conv.bias.data
    return stock


def _gat(conv: layers.GATConv) -> GATConv:
    width = conv.attention.shape[2]
    stock = GATConv(conv.weight.shape[0], width, heads=conv.heads, bias=conv.bias is not None)
    stock.lin.weight.data = conv.weight.data.T.contiguous()
    stock.att_src.data, stock.att_dst.data = conv.attention.data[:1], conv.attention.data[1:]
    if conv.bias is not None:
        stock.bias.data = conv.bias.data
    return stock


def _gin(conv: layers.GINConv) -> GINConv:
    stock = GINConv(nn.Identity(), eps=float(conv.eps.detach()))
    stock.nn = twin(conv.mlp)  # afterwards: its constructor draws the parameters of its network anew
    return stock


def _linear(linear: layers.QuantLinear) -> nn.Linear:
    stock = nn.Linear(*linear.weight.shape)
    stock.load_state_dict({"weight": linear.weight.T, "bias": linear.bias})
    return stock


def _embedding(embedding: layers.Embedding) -> nn.Embedding:
    return nn.Embedding.from_pretrained(embedding.weight.detach())


def _norm(norm: layers.BatchNorm) -> nn.BatchNorm1d:
    stock = nn.BatchNorm1d(norm.num_features, norm.eps)
    stock.load_state_dict(norm.state_dict())
    return stock


TWINS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    layers.GCNConv: _gcn,
    layers.GATConv: _gat,
    layers.GINConv: _gin,
    layers.Transition: lambda transition: twin(transition.steps),
    layers.QuantLinear: _linear,
    layers.Embedding: _embedding,
    layers.BatchNorm: _norm,
    layers.Activation: lambda activation: activation,
}
