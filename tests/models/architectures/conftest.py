"""Batches of small graphs, and the networks for them in small."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from models.architectures import GAT, GCN, GIN, GraphSAGE
from models.layers import ReadoutConfig
from models.quantization.protection import degree_cdf

COMMON = {"dropout": 0.0, "batch_norm": "before", "residual": True}
MEAN = ReadoutConfig("mean", [16, 8])
GRAPH_NETWORKS = {
    "gcn": (GCN, {**COMMON, "hidden": 24, "layers": 3, "readout": MEAN}),
    "gcn factored": (GCN, {**COMMON, "hidden": 24, "layers": 3, "norm": "factored", "readout": MEAN}),
    "gat": (
        GAT,
        {**COMMON, "hidden": 4, "layers": 3, "attention_dropout": 0.0, "activation": "relu", "readout": MEAN},
    ),
    "gin of every layer": (
        GIN,
        {
            **COMMON,
            **{"hidden": 24, "layers": 3, "mlp_layers": 2, "mlp_batch_norm": True, "learn_eps": True},
            "readout": ReadoutConfig("sum", every_layer=True),
        },
    ),
    "gin with norms behind": (
        GIN,
        {
            **{"hidden": 24, "layers": 3, "dropout": 0.0, "mlp_layers": 2, "learn_eps": True, "batch_norm": "after"},
            "readout": ReadoutConfig("mean", [24], 0.5),
        },
    ),
    "sage": (GraphSAGE, {**COMMON, "hidden": 24, "layers": 3, "readout": MEAN}),
    "plain gin": (GIN, {"hidden": 24, "dropout": 0.2, "readout": ReadoutConfig("sum", every_layer=True)}),
}
"""The networks of experiments on batches, and one without any of their options."""


@pytest.fixture(params=GRAPH_NETWORKS)
def graph_network(request):
    """make(in_features, out_features, scheme, **changes) of every kind of network that reads out graphs."""
    kind, settings = GRAPH_NETWORKS[request.param]
    embedding = {} if request.param in ("plain gin", "gin with norms behind") else {"embedding": "linear"}
    return lambda i, o, scheme=None, **changes: kind(i, o, scheme, **{**settings, **embedding, **changes})


def draw_graphs(count: int, features: int | None = 5, classes: int = 3) -> Batch:
    """Random graphs of 1 to 30 nodes, some without edges, sorted by target; features None: categories 0 to 8."""
    nodes = torch.randint(1, 31, (count,))
    edges = (torch.rand(count) * 5 * nodes).long()
    graph, graph_of_edge = torch.repeat_interleave(nodes), torch.repeat_interleave(edges)
    first = (nodes.cumsum(0) - nodes)[graph_of_edge]
    ends = (torch.rand(2, len(graph_of_edge)) * nodes[graph_of_edge]).long()
    ends = ends[:, torch.argsort((first + ends[1]) * 30 + ends[0])]
    x = torch.randint(9, (len(graph), 1)) if features is None else torch.randn(len(graph), features)
    parts = zip(
        x.split(nodes.tolist()),
        ends.split(edges.tolist(), 1),
        (nodes * classes // 31).clamp(max=classes - 1).split(1),
        degree_cdf(ends + first, len(graph), graph).split(nodes.tolist()),
        strict=True,
    )
    return Batch.from_data_list([Data(x=x, edge_index=e, y=y, degree_cdf=cdf) for x, e, y, cdf in parts])


@pytest.fixture
def graphs():
    """graphs(count, features, classes) -> a batch; the label of a graph is its size in thirds."""
    return draw_graphs
