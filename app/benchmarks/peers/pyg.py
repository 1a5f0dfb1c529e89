"""The FP32 peer made of stock PyG layers, with the trained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import global_add_pool, global_mean_pool

from app.benchmarks.peers.registry import BY_LAYER
from app.benchmarks.peers.stock import stock_twin
from models.architectures import Architecture


def float_bytes(network: nn.Module) -> int:
    """Bytes of the parameters in float32."""
    return 4 * sum(parameter.numel() for parameter in network.parameters())


class PyGNetwork(nn.Module):
    """Evaluation forward of `network` by stock PyG layers."""

    def __init__(self, network: Architecture) -> None:
        super().__init__()
        self.embedding = stock_twin(network.embedding) if network.embedding is not None else None
        self.convs = nn.ModuleList(BY_LAYER[type(conv)].stock(conv) for conv in network.convs)
        self.transitions = nn.ModuleList(stock_twin(transition) for transition in network.transitions)
        self.residual = [transition.residual is not None for transition in network.transitions]
        readout = network.readout
        self.heads = nn.ModuleList(stock_twin(head) for head in readout.heads) if readout else None
        self.pool = global_mean_pool if readout and readout.pool == "mean" else global_add_pool

    @torch.inference_mode()
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        """Computes the logits of nodes [N, C] or graphs [G, C]; x [N, F] dense, or categories [N, 1]; batch [N]."""
        rows = [x if self.embedding is None else self.embedding(x).flatten(1)]
        for i, conv in enumerate(self.convs):
            h = conv(rows[-1], edge_index)
            if i < len(self.transitions):
                h = self.transitions[i](h) + (rows[-1] if self.residual[i] else 0.0)
            rows.append(h)
        if self.heads is None:
            return rows[-1]
        read = rows[-len(self.heads) :]
        logits: Tensor = sum(head(self.pool(h, batch)) for head, h in zip(self.heads, read, strict=True))
        return logits
