from __future__ import annotations

from types import SimpleNamespace

import torch
from torch_geometric.data import Batch, Data

from app.runs.exactness import graph_of

UNWEIGHTED = SimpleNamespace(reads_edge_weights=False)
"""A program that reads no weights of edges."""


def test_a_graph_of_a_batch_knows_whose_nodes_are_whose() -> None:
    parts = [Data(x=torch.zeros(n, 1), edge_index=torch.zeros(2, 1, dtype=torch.int64)) for n in (2, 3)]
    graph = graph_of(Batch.from_data_list(parts), UNWEIGHTED)
    assert (graph.num_nodes, graph.num_graphs) == (5, 2)
    assert graph.members.degrees.tolist() == [2, 3]
    assert graph_of(parts[0], UNWEIGHTED).num_graphs == 1
