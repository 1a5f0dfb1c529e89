"""Networks as people write them: what `prepare` must take."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torch_geometric.nn as gnn
from torch import nn
from torch_geometric.nn import (
    BatchNorm,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    JumpingKnowledge,
    Linear,
    SAGEConv,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

FEATURES, CLASSES = 5, 3


class TwoLayerGCN(nn.Module):
    """PyG's introductory example."""

    def __init__(self):
        super().__init__()
        self.conv1 = GCNConv(FEATURES, 16, cached=False)
        self.conv2 = GCNConv(16, CLASSES)

    def forward(self, x, edge_index):
        x = F.dropout(x, p=0.5, training=self.training)
        x = self.conv1(x, edge_index).relu()
        x = F.dropout(x, p=0.5, training=self.training)
        x = self.conv2(x, edge_index)
        return F.log_softmax(x, dim=1)


class OfData(nn.Module):
    """A GCN that takes a `data`, without biases, self-loops and degrees in one layer each."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                GCNConv(FEATURES, 12, bias=False),
                GCNConv(12, 12, add_self_loops=False),
                GCNConv(12, CLASSES, normalize=False),
            ]
        )

    def forward(self, data):
        x, edge_index = data.x, data.edge_index
        for i, conv in enumerate(self.convs):
            x = conv(x, edge_index)
            if i < len(self.convs) - 1:
                x = F.leaky_relu(x, 0.1)
        return x


class NormedSAGE(nn.Module):
    """GraphSAGE with BatchNorm before and after the activation."""

    def __init__(self, aggr="mean"):
        super().__init__()
        self.convs = nn.ModuleList([SAGEConv(FEATURES, 16, aggr=aggr), SAGEConv(16, 16, aggr=aggr, root_weight=False)])
        self.norms = nn.ModuleList([BatchNorm(16), nn.BatchNorm1d(16)])
        self.lin = Linear(16, CLASSES)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x, edge_index):
        x = self.act(self.norms[0](self.convs[0](x, edge_index)))
        x = self.norms[1](self.act(self.convs[1](x, edge_index)))
        x = F.dropout(x, 0.3, self.training)
        return self.lin(x)


class JumpingGIN(nn.Module):
    """GIN for molecules: an embedding of atoms, MLPs with BatchNorm, jumping knowledge, a pool."""

    def __init__(self, mode="cat", pool=global_mean_pool, width=16):
        super().__init__()
        self.emb = nn.Embedding(9, width)
        self.convs = nn.ModuleList(
            GINConv(
                nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)),
                train_eps=True,
            )
            for _ in range(2)
        )
        self.jk = JumpingKnowledge(mode)
        self.pool = pool
        self.lin1 = nn.Linear(2 * width if mode == "cat" else width, width)
        self.lin2 = nn.Linear(width, CLASSES)

    def forward(self, x, edge_index, batch):
        x = self.emb(x.squeeze(-1))
        xs = []
        for conv in self.convs:
            x = F.relu(conv(x, edge_index))
            xs += [x]
        x = self.pool(self.jk(xs), batch)
        x = F.relu(self.lin1(x))
        x = F.dropout(x, p=0.5, training=self.training)
        return self.lin2(x)


class ResidualGAT(nn.Module):
    """Attention layers with residual sums, averaged heads at the end."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(FEATURES, 16)
        self.gat1 = GATConv(16, 4, heads=4, dropout=0.2)
        self.gat2 = GATConv(16, 4, heads=4, residual=True, negative_slope=0.1, add_self_loops=False)
        self.gat3 = GATConv(16, CLASSES, heads=3, concat=False)

    def forward(self, x, edge_index):
        h = F.elu(self.lin(x))
        h = F.elu(self.gat1(h, edge_index) + h)
        h = F.elu(self.gat2(h, edge_index))
        return self.gat3(h, edge_index)


class TwoBranches(nn.Module):
    """A graph branch and a plain branch side by side, and scaled residual sums."""

    def __init__(self):
        super().__init__()
        self.conv1 = GCNConv(FEATURES, 12)
        self.conv2 = SAGEConv(12, 12)
        self.mlp = nn.Sequential(nn.Linear(FEATURES, 12), nn.Tanh(), nn.Dropout(0.1), nn.Linear(12, 12))
        self.out = nn.Linear(24, CLASSES)

    def forward(self, x, edge_index):
        h = torch.relu(self.conv1(x, edge_index))
        h = h - 0.5 * self.conv2(h, edge_index)
        return self.out(torch.cat([h, self.mlp(x)], dim=-1))


class Pools(nn.Module):
    """Every pool, through the module and as functions."""

    def __init__(self):
        super().__init__()
        self.conv = GraphConv(FEATURES, 16, aggr="add")
        self.lin = nn.Linear(48, 1)

    def forward(self, x, edge_index, batch=None):
        h = self.conv(x, edge_index).sigmoid()
        h = torch.cat([gnn.global_mean_pool(h, batch), global_add_pool(h, batch), global_max_pool(h, batch)], 1)
        return self.lin(h).squeeze(-1)


class MaximalSAGE(nn.Module):
    """Max aggregation, and the larger of two branches."""

    def __init__(self):
        super().__init__()
        self.conv1 = SAGEConv(FEATURES, 12, aggr="max")
        self.conv2 = GraphConv(12, CLASSES, aggr="mean")
        self.conv3 = GCNConv(12, CLASSES)

    def forward(self, x, edge_index):
        h = F.gelu(self.conv1(x, edge_index))
        return torch.maximum(self.conv2(h, edge_index), self.conv3(h, edge_index))


class RowNorms(nn.Module):
    """Normalised rows: LayerNorm behind and before layers, in a GIN's MLP, and SAGEConv's own."""

    def __init__(self):
        super().__init__()
        self.start = nn.LayerNorm(FEATURES)
        self.conv1 = SAGEConv(FEATURES, 12, normalize=True, aggr=gnn.MeanAggregation())
        self.norm1 = nn.LayerNorm(12, bias=False)
        self.conv2 = GINConv(nn.Sequential(nn.Linear(12, 12), nn.LayerNorm(12), nn.ReLU(), nn.Linear(12, 12)))
        self.norm2 = gnn.LayerNorm(12, mode="node")
        self.lin = nn.Linear(12, CLASSES)

    def forward(self, x, edge_index):
        h = F.relu(self.norm1(self.conv1(self.start(x), edge_index)))
        h = h + self.norm2(self.conv2(h, edge_index))
        return self.lin(F.dropout(h, 0.2, self.training))


class GraphNorms(nn.Module):
    """Normalised over the nodes of every graph, or over all nodes."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = SAGEConv(FEATURES, 12), gnn.GraphNorm(12)
        self.conv2, self.norm2 = GCNConv(12, 12), gnn.LayerNorm(12)
        self.conv3, self.norm3 = GATv2Conv(12, 12, share_weights=True, bias=False), gnn.InstanceNorm(12)
        self.norm4, self.norm5 = gnn.LayerNorm(12, affine=False), gnn.GraphNorm(12)
        self.lin = nn.Linear(12, CLASSES)

    def forward(self, x, edge_index, batch):
        h = self.norm1(self.conv1(x, edge_index), batch).relu()
        h = self.norm2(self.conv2(h, edge_index), batch=batch).relu() + h
        h = self.norm3(self.conv3(h, edge_index), batch)
        h = self.norm5(self.norm4(h))
        return self.lin(global_mean_pool(h, batch))


class Weighted(nn.Module):
    """Weights of edges in every layer that takes them."""

    def __init__(self):
        super().__init__()
        self.conv1 = GCNConv(FEATURES, 12, improved=True)
        self.conv2 = GraphConv(12, 12)
        self.conv3 = GCNConv(12, CLASSES, normalize=False)
        self.conv4 = GCNConv(12, CLASSES, add_self_loops=False)

    def forward(self, x, edge_index, edge_weight):
        x = self.conv1(x, edge_index, edge_weight).relu()
        x = self.conv2(x, edge_index, edge_weight=edge_weight).relu()
        return self.conv3(x, edge_index, edge_weight) + self.conv4(x, edge_index)


class WeightedByAttribute(nn.Module):
    """The only attribute of an edge is its weight."""

    def __init__(self):
        super().__init__()
        self.conv = GCNConv(FEATURES, CLASSES)

    def forward(self, data):
        return self.conv(data.x, data.edge_index, data.edge_attr)


WEIGHTED_NETWORKS = {"weighted": Weighted, "pyg gcn, weighted": lambda: gnn.GCN(FEATURES, 12, 2, CLASSES)}
"""They classify nodes, and read the weights of edges."""

NODE_NETWORKS = {
    "gcn": TwoLayerGCN,
    "gcn of data": OfData,
    "sage": NormedSAGE,
    "sage of sums": lambda: NormedSAGE("sum"),
    "gat": ResidualGAT,
    "branches": TwoBranches,
    "maxima": MaximalSAGE,
    "normalised rows": RowNorms,
    "pyg gcn, layer norm": lambda: gnn.GCN(FEATURES, 16, 2, CLASSES, norm="layer_norm", dropout=0.1),
    "pyg sage, graph norm": lambda: gnn.GraphSAGE(FEATURES, 16, 2, CLASSES, norm="GraphNorm", aggr="max"),
    "gat v2, shared": lambda: gnn.GAT(FEATURES, 16, 2, CLASSES, heads=2, v2=True, share_weights=True),
    "pyg gcn": lambda: gnn.GCN(FEATURES, 16, 3, CLASSES, norm="batch_norm", jk="cat", dropout=0.5, act="elu"),
    "pyg sage": lambda: gnn.GraphSAGE(FEATURES, 16, 2, CLASSES, dropout=0.2, act_first=True, norm="BatchNorm"),
    "pyg gin": lambda: gnn.GIN(FEATURES, 16, 2, CLASSES, jk="max", train_eps=True),
    "gat v2": lambda: gnn.GAT(FEATURES, 16, 2, CLASSES, heads=4, v2=True),
    "pyg gat": lambda: gnn.GAT(FEATURES, 16, 2, CLASSES, heads=4, dropout=0.1),
}
"""They classify nodes by features."""

GRAPH_NETWORKS = {
    "gin": (JumpingGIN, True),
    "gin of maxima": (lambda: JumpingGIN("max", global_max_pool), True),
    "pools": (Pools, False),
    "normalised graphs": (GraphNorms, False),
}
"""They read out graphs; whether they read categories."""
