"""Networks written as for PyG alone: nothing here knows of quantization.

train.py fit --cell cora/gcn/dq_int8 --model.network examples.networks:GCN
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import BatchNorm, GCNConv, GINConv, JumpingKnowledge, SAGEConv, global_add_pool


class GCN(nn.Module):
    """Two graph convolutions. Shapes: x [N, F]; edge_index [2, E]; result [N, C]."""

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 16) -> None:
        super().__init__()
        self.conv1 = GCNConv(in_channels, hidden)
        self.conv2 = GCNConv(hidden, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Returns the logits of nodes."""
        x = F.dropout(x, p=0.5, training=self.training)
        x = self.conv1(x, edge_index).relu()
        x = F.dropout(x, p=0.5, training=self.training)
        logits: Tensor = self.conv2(x, edge_index)
        return logits


class GraphSAGE(nn.Module):
    """Mean aggregation with BatchNorm, and a linear layer on all layers. Shapes: as GCN's."""

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 32, layers: int = 2) -> None:
        super().__init__()
        widths = [in_channels] + [hidden] * layers
        self.convs = nn.ModuleList(SAGEConv(wide, hidden) for wide in widths[:-1])
        self.norms = nn.ModuleList(BatchNorm(hidden) for _ in range(layers))
        self.lin = nn.Linear(hidden * layers, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Returns the logits of nodes."""
        xs = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.dropout(x, p=0.5, training=self.training)
            x = F.relu(norm(conv(x, edge_index)))
            xs.append(x)
        logits: Tensor = self.lin(torch.cat(xs, dim=-1))
        return logits


class GIN(nn.Module):
    """GIN with jumping knowledge for whole graphs. Shapes: x [N, F]; batch [N]; result [G, C]."""

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 32, layers: int = 3) -> None:
        super().__init__()
        widths = [in_channels] + [hidden] * layers
        self.convs = nn.ModuleList(GINConv(self.mlp(wide, hidden), train_eps=True) for wide in widths[:-1])
        self.jump = JumpingKnowledge("cat")
        self.lin1 = nn.Linear(hidden * layers, hidden)
        self.lin2 = nn.Linear(hidden, out_channels)

    @staticmethod
    def mlp(wide: int, hidden: int) -> nn.Sequential:
        """Two linear layers with BatchNorm between them."""
        return nn.Sequential(nn.Linear(wide, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Returns the logits of graphs."""
        xs = []
        for conv in self.convs:
            x = conv(x, edge_index).relu()
            xs.append(x)
        x = global_add_pool(self.jump(xs), batch)
        x = self.lin1(x).relu()
        x = F.dropout(x, p=0.5, training=self.training)
        logits: Tensor = self.lin2(x)
        return logits
