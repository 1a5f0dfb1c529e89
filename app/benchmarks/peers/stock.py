"""Stock PyTorch twins of our layers other than convolutions, and an adjacency as torch reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models import layers


def stock_twin(module: nn.Module) -> nn.Module:
    """The stock module that computes what a layer of ours computes in evaluation; quantization sites are left out."""
    if isinstance(module, (nn.Sequential, nn.ModuleList)):
        return nn.Sequential(*(stock_twin(step) for step in module if type(step) in TWINS))
    return TWINS[type(module)](module)


def csr_adjacency(edge_index: Tensor, nodes: int, values: Tensor) -> Tensor:
    """The adjacency [N, N] as sparse CSR: rows are targets, columns sources; values [E]."""
    sources, targets = edge_index
    return torch.sparse_coo_tensor(torch.stack([targets, sources]), values, (nodes, nodes)).coalesce().to_sparse_csr()


def _linear(linear: layers.QuantLinear) -> nn.Linear:
    stock = nn.Linear(*linear.weight.shape)
    stock.load_state_dict({"weight": linear.weight.T, "bias": linear.bias})
    return stock


def _embedding(embedding: layers.Embedding) -> nn.Embedding:
    stock = nn.Embedding(*embedding.weight.shape)
    stock.load_state_dict({"weight": embedding.weight})
    return stock


def _norm(norm: layers.BatchNorm) -> nn.BatchNorm1d:
    stock = nn.BatchNorm1d(norm.num_features, norm.eps)
    stock.load_state_dict(norm.state_dict())
    return stock


TWINS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    layers.Transition: lambda transition: stock_twin(transition.steps),
    layers.QuantLinear: _linear,
    layers.Embedding: _embedding,
    layers.BatchNorm: _norm,
    layers.Activation: lambda activation: activation,
}
"""Layer -> what makes its twin."""
