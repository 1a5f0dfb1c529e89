from __future__ import annotations

import pytest
import torch

from app.data.counts import count, mean_and_range
from datamodules import DigitsDataModule, SyntheticDataModule


def test_nodes_of_one_graph_are_split():
    data = SyntheticDataModule(num_nodes=300, num_val=60, num_test=80)
    data.prepare_data()
    data.setup("test")
    nodes, edges, split = count(data)
    assert nodes.tolist() == [300]
    assert edges.tolist() == [data.graph_data.num_edges]
    assert split.split("/")[1:] == ["60", "80"]


def test_graphs_are_counted_one_by_one():
    data = DigitsDataModule()
    data.prepare_data()
    data.setup("test")
    nodes, edges, split = count(data)
    assert (nodes == 64).all()
    assert len(nodes) == len(edges) == sum(map(int, split.split("/"))) == 1797


@pytest.mark.parametrize(("sizes", "text"), [([1500, 1500], "1,500"), ([1, 2, 1000], "334.3 (1-1,000)")])
def test_a_range_is_given_where_sizes_differ(sizes, text):
    assert mean_and_range(torch.tensor(sizes)) == text
