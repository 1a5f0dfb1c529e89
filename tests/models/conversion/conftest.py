"""Graphs for networks of others, and training them a little."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from models.quantization.protection import degree_cdf
from tests.models.conversion.networks import CLASSES, FEATURES

NODES, GRAPHS = 90, 9


def draw(*, categories: bool = False) -> Data:
    """A batch of nine graphs with self-loops, parallel edges and nodes without edges."""
    generator = torch.Generator().manual_seed(1)
    batch = torch.arange(NODES) // (NODES // GRAPHS)
    edges = torch.randint(NODES // GRAPHS, (2, 4 * NODES), generator=generator)
    edges = edges + torch.randint(GRAPHS, (1, 4 * NODES), generator=generator) * (NODES // GRAPHS)
    edges = torch.cat([edges[:, edges[1] % 10 > 1], torch.tensor([[3, 3, 4], [3, 3, 7]])], 1)
    x = torch.randn(NODES, FEATURES, generator=generator)
    x = torch.randint(9, (NODES, 1), generator=generator) if categories else x
    y = torch.randint(CLASSES, (NODES,), generator=generator)
    weights = torch.rand(edges.shape[1], generator=generator) + 0.1
    cdf = degree_cdf(edges, NODES, batch)
    return Data(x=x, edge_index=edges, edge_weight=weights, batch=batch, num_graphs=GRAPHS, y=y, degree_cdf=cdf)


@pytest.fixture
def nodes() -> Data:
    """One graph, whose nodes are classified."""
    data = draw()
    del data.batch
    data.degree_cdf = degree_cdf(data.edge_index, NODES)
    return data
