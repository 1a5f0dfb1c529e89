"""A network for whole graphs, written as for PyG alone: nothing here knows of quantization.

train.py fit --cell reddit_binary/gin/dq_int8 --model.network examples.graph_networks:GIN
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GINConv, global_mean_pool


class GIN(nn.Module):
    """GIN with BatchNorm behind every MLP and the mean of the nodes of all layers.

    Shapes:
        x [N, F]; edge_index [2, E]; batch [N]; result [G, C].
    """

    def __init__(self, in_channels: int, out_channels: int, hidden: int = 32, layers: int = 3) -> None:
        super().__init__()
        widths = [in_channels] + [hidden] * layers
        self.convs = nn.ModuleList(GINConv(self.mlp(wide, hidden), train_eps=True) for wide in widths[:-1])
        self.lin1 = nn.Linear(hidden * layers, hidden)
        self.lin2 = nn.Linear(hidden, out_channels)

    @staticmethod
    def mlp(wide: int, hidden: int) -> nn.Sequential:
        """Two linear layers, and BatchNorm behind the second ReLU."""
        first, second = nn.Linear(wide, hidden), nn.Linear(hidden, hidden)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.BatchNorm1d(hidden))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Returns the logits of graphs."""
        xs = []
        for conv in self.convs:
            x = conv(x, edge_index)
            xs.append(x)
        x = global_mean_pool(torch.cat(xs, dim=1), batch)
        x = self.lin1(x).relu()
        x = F.dropout(x, p=0.5, training=self.training)
        logits: Tensor = self.lin2(x)
        return logits
