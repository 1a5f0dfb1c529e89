"""A network that does not fit its data is told where they meet."""

from __future__ import annotations

import pytest
from torch_geometric.data import Batch

from models.tasks import GraphClassification, NodeClassification


def test_rows_are_those_of_what_is_learned(graphs, graph_gin, node_gin):
    batch = Batch.from_data_list(graphs)
    nodes, number = len(batch.x), len(graphs)
    pooled = f"network GIN: gives {number} rows for {nodes} nodes that are learned: leave out its pool"
    with pytest.raises(ValueError, match=pooled):
        NodeClassification(graph_gin, 4, 2).eval()(batch)
    apart = f"network GIN: gives {nodes} rows for {number} graphs that are learned: pool its rows by the batch"
    with pytest.raises(ValueError, match=apart):
        GraphClassification(node_gin, 4, 2).eval()(batch)
