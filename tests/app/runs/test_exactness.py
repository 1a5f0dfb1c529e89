from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch_geometric.data import Batch, Data

from app.runs.exactness import disagreement, graph_of

UNWEIGHTED = SimpleNamespace(reads_edge_weights=False)
"""A program that reads no weights of edges."""


def test_classes_that_differ_may_be_as_close_as_one_step() -> None:
    trained = np.float32([[0, 1.0], [0, 1.5], [0, 3.0]])
    wrong, apart = disagreement(trained, np.float32([[1, 0], [2, 1], [0, 3]]), step=1.2)
    assert wrong.tolist() == [True, True, False]
    assert apart.tolist() == [False, True, True]


def test_values_that_differ_may_be_as_close_as_one_step() -> None:
    wrong, apart = disagreement(np.float32([[1.0], [1.0], [1.0]]), np.float32([[1.0], [1.5], [2.5]]), step=1.2)
    assert wrong.tolist() == [False, True, True]
    assert apart.tolist() == [False, False, True]


def test_a_graph_of_a_batch_knows_whose_nodes_are_whose() -> None:
    parts = [Data(x=torch.zeros(n, 1), edge_index=torch.zeros(2, 1, dtype=torch.int64)) for n in (2, 3)]
    graph = graph_of(Batch.from_data_list(parts), UNWEIGHTED)
    assert (graph.num_nodes, graph.num_graphs) == (5, 2)
    assert graph.members.degrees.tolist() == [2, 3]
    assert graph_of(parts[0], UNWEIGHTED).num_graphs == 1
