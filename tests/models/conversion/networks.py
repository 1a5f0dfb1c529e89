"""Networks as people write them: what `prepare` must take."""

from __future__ import annotations

from functools import partial

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

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.conv1 = GCNConv(in_channels, width, cached=False)
        self.conv2 = GCNConv(width, out_channels)

    def forward(self, x, edge_index):
        x = F.dropout(x, p=0.5, training=self.training)
        x = self.conv1(x, edge_index).relu()
        x = F.dropout(x, p=0.5, training=self.training)
        x = self.conv2(x, edge_index)
        return F.log_softmax(x, dim=1)


class OfData(nn.Module):
    """A GCN that takes a `data`, without biases, self-loops and degrees in one layer each."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                GCNConv(in_channels, width, bias=False),
                GCNConv(width, width, add_self_loops=False),
                GCNConv(width, out_channels, normalize=False),
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

    def __init__(self, aggr="mean", in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.convs = nn.ModuleList(
            [SAGEConv(in_channels, width, aggr=aggr), SAGEConv(width, width, aggr=aggr, root_weight=False)]
        )
        self.norms = nn.ModuleList([BatchNorm(width), nn.BatchNorm1d(width)])
        self.lin = Linear(width, out_channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x, edge_index):
        x = self.act(self.norms[0](self.convs[0](x, edge_index)))
        x = self.norms[1](self.act(self.convs[1](x, edge_index)))
        x = F.dropout(x, 0.3, self.training)
        return self.lin(x)


class JumpingGIN(nn.Module):
    """GIN for molecules: an embedding of atoms, MLPs with BatchNorm, jumping knowledge, a pool."""

    def __init__(self, mode="cat", pool=global_mean_pool, out_channels=CLASSES, width=16):
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
        self.lin2 = nn.Linear(width, out_channels)

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

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.lin = nn.Linear(in_channels, width)
        self.gat1 = GATConv(width, width // 4, heads=4, dropout=0.2)
        self.gat2 = GATConv(width, width // 4, heads=4, residual=True, negative_slope=0.1, add_self_loops=False)
        self.gat3 = GATConv(width, out_channels, heads=3, concat=False)

    def forward(self, x, edge_index):
        h = F.elu(self.lin(x))
        h = F.elu(self.gat1(h, edge_index) + h)
        h = F.elu(self.gat2(h, edge_index))
        return self.gat3(h, edge_index)


class TwoBranches(nn.Module):
    """A graph branch and a plain branch side by side, and scaled residual sums."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.conv1 = GCNConv(in_channels, width)
        self.conv2 = SAGEConv(width, width)
        self.mlp = nn.Sequential(nn.Linear(in_channels, width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(width, width))
        self.out = nn.Linear(2 * width, out_channels)

    def forward(self, x, edge_index):
        h = torch.relu(self.conv1(x, edge_index))
        h = h - 0.5 * self.conv2(h, edge_index)
        return self.out(torch.cat([h, self.mlp(x)], dim=-1))


class Pools(nn.Module):
    """Every pool, through the module and as functions."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.conv = GraphConv(in_channels, width, aggr="add")
        self.lin = nn.Linear(3 * width, 1)

    def forward(self, x, edge_index, batch=None):
        h = self.conv(x, edge_index).sigmoid()
        h = torch.cat([gnn.global_mean_pool(h, batch), global_add_pool(h, batch), global_max_pool(h, batch)], 1)
        return self.lin(h).squeeze(-1)


class MaximalSAGE(nn.Module):
    """Max aggregation, and the larger of two branches."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.conv1 = SAGEConv(in_channels, width, aggr="max")
        self.conv2 = GraphConv(width, out_channels, aggr="mean")
        self.conv3 = GCNConv(width, out_channels)

    def forward(self, x, edge_index):
        h = F.gelu(self.conv1(x, edge_index))
        return torch.maximum(self.conv2(h, edge_index), self.conv3(h, edge_index))


class RowNorms(nn.Module):
    """Normalised rows: LayerNorm behind and before layers, in a GIN's MLP, and SAGEConv's own."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.start = nn.LayerNorm(in_channels)
        self.conv1 = SAGEConv(in_channels, width, normalize=True, aggr=gnn.MeanAggregation())
        self.norm1 = nn.LayerNorm(width, bias=False)
        self.conv2 = GINConv(
            nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))
        )
        self.norm2 = gnn.LayerNorm(width, mode="node")
        self.lin = nn.Linear(width, out_channels)

    def forward(self, x, edge_index):
        h = F.relu(self.norm1(self.conv1(self.start(x), edge_index)))
        h = h + self.norm2(self.conv2(h, edge_index))
        return self.lin(F.dropout(h, 0.2, self.training))


class GraphNorms(nn.Module):
    """Normalised over the nodes of every graph, or over all nodes."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.conv1, self.norm1 = SAGEConv(in_channels, width), gnn.GraphNorm(width)
        self.conv2, self.norm2 = GCNConv(width, width), gnn.LayerNorm(width)
        self.conv3, self.norm3 = GATv2Conv(width, width, share_weights=True, bias=False), gnn.InstanceNorm(width)
        self.norm4, self.norm5 = gnn.LayerNorm(width, affine=False), gnn.GraphNorm(width)
        self.lin = nn.Linear(width, out_channels)

    def forward(self, x, edge_index, batch):
        h = self.norm1(self.conv1(x, edge_index), batch).relu()
        h = self.norm2(self.conv2(h, edge_index), batch=batch).relu() + h
        h = self.norm3(self.conv3(h, edge_index), batch)
        h = self.norm5(self.norm4(h))
        return self.lin(global_mean_pool(h, batch))


class Weighted(nn.Module):
    """Weights of edges in every layer that takes them."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.conv1 = GCNConv(in_channels, width, improved=True)
        self.conv2 = GraphConv(width, width)
        self.conv3 = GCNConv(width, out_channels, normalize=False)
        self.conv4 = GCNConv(width, out_channels, add_self_loops=False)

    def forward(self, x, edge_index, edge_weight):
        x = self.conv1(x, edge_index, edge_weight).relu()
        x = self.conv2(x, edge_index, edge_weight=edge_weight).relu()
        return self.conv3(x, edge_index, edge_weight) + self.conv4(x, edge_index)


class WeightedByAttribute(nn.Module):
    """The only attribute of an edge is its weight."""

    def __init__(self, in_channels=FEATURES, out_channels=CLASSES, width=16):
        super().__init__()
        self.conv = GCNConv(in_channels, out_channels)

    def forward(self, data):
        return self.conv(data.x, data.edge_index, data.edge_attr)


def of_pyg(kind, **settings):
    """Makes one of PyG's own classes, of two layers unless it is said."""

    def make(in_channels=FEATURES, out_channels=CLASSES, width=16):
        return kind(in_channels, width, settings.get("num_layers", 2), out_channels, **others)

    others = {name: value for name, value in settings.items() if name != "num_layers"}
    return make


WEIGHTED_NETWORKS = {"weighted": Weighted, "pyg gcn, weighted": of_pyg(gnn.GCN)}
"""They classify nodes, and read the weights of edges."""

NODE_NETWORKS = {
    "gcn": TwoLayerGCN,
    "gcn of data": OfData,
    "sage": NormedSAGE,
    "sage of sums": partial(NormedSAGE, "sum"),
    "gat": ResidualGAT,
    "branches": TwoBranches,
    "maxima": MaximalSAGE,
    "normalised rows": RowNorms,
    "pyg gcn, layer norm": of_pyg(gnn.GCN, norm="layer_norm", dropout=0.1),
    "pyg sage, graph norm": of_pyg(gnn.GraphSAGE, norm="GraphNorm", aggr="max"),
    "gat v2, shared": of_pyg(gnn.GAT, heads=2, v2=True, share_weights=True),
    "pyg gcn": of_pyg(gnn.GCN, num_layers=3, norm="batch_norm", jk="cat", dropout=0.5, act="elu"),
    "pyg sage": of_pyg(gnn.GraphSAGE, dropout=0.2, act_first=True, norm="BatchNorm"),
    "pyg gin": of_pyg(gnn.GIN, jk="max", train_eps=True),
    "gat v2": of_pyg(gnn.GAT, heads=4, v2=True),
    "pyg gat": of_pyg(gnn.GAT, heads=4, dropout=0.1),
}
"""They classify nodes by features."""

GRAPH_NETWORKS = {
    "gin": (JumpingGIN, True),
    "gin of maxima": (partial(JumpingGIN, "max", global_max_pool), True),
    "pools": (Pools, False),
    "normalised graphs": (GraphNorms, False),
}
"""They read out graphs; whether they read categories."""

GRAPH_MAKERS = {name: make for name, (make, _) in GRAPH_NETWORKS.items()}
EVERY_NETWORK = NODE_NETWORKS | GRAPH_MAKERS | {"weighted": Weighted}
"""Those whose latency is measured; see docs/results/own_latency.md."""
