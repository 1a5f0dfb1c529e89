"""Graphs: checks, CSR order, self-loops, degrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.engine.graph import Graph, read_batch, read_graph


def neighbours(adjacency):
    return [row.tolist() for row in np.split(adjacency.sources, adjacency.indptr[1:-1])]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_edges_are_grouped_by_target_in_the_order_given(make, dtype):
    edges = make(5).edges(100, 700).astype(dtype)
    adjacency = Graph(edges, 100).adjacency(self_loops=False)
    order = np.argsort(edges[1], kind="stable")
    np.testing.assert_array_equal(adjacency.sources, edges[0, order])
    np.testing.assert_array_equal(adjacency.targets, edges[1, order])
    np.testing.assert_array_equal(adjacency.degrees, np.bincount(edges[1], minlength=100))
    assert adjacency.num_edges == 700


def test_self_loops_are_replaced_by_one_at_the_end():
    graph = Graph([[1, 0, 2, 2, 0, 1], [0, 0, 0, 2, 0, 2]], 4)
    assert neighbours(graph.adjacency(self_loops=False)) == [[1, 0, 2, 0], [], [2, 1], []]
    assert neighbours(graph.adjacency(self_loops=True)) == [[1, 2, 0], [1], [1, 2], [3]]


def test_inverse_sqrt_degrees_and_norm():
    graph = Graph([[1, 2, 3, 0], [0, 0, 0, 1]], 4)
    got = graph.adjacency(self_loops=True).inverse_sqrt_degrees
    np.testing.assert_array_equal(got, np.float32([0.5, 1 / np.sqrt(np.float32(2)), 1, 1]))
    assert graph.adjacency(self_loops=False).inverse_sqrt_degrees.tolist()[2:] == [0, 0]
    assert graph.adjacency(self_loops=True).norm.tolist()[1:3] == [0.5, 0.5]
    degrees = torch.arange(1, 1000)
    targets = torch.arange(999).repeat_interleave(degrees)
    got = Graph(torch.stack([torch.zeros_like(targets), targets]), 999).adjacency(self_loops=False)
    np.testing.assert_array_equal(got.inverse_sqrt_degrees, degrees.float().pow(-0.5).numpy())


def test_empty_graphs():
    for nodes, edges in ((0, np.empty((2, 0), np.int64)), (3, [[], []]), (3, np.empty((2, 0), np.uint8))):
        graph = Graph(edges, nodes)
        assert graph.adjacency(self_loops=False).num_edges == 0
        assert graph.adjacency(self_loops=True).sources.tolist() == list(range(nodes))


@pytest.mark.parametrize(
    ("edge_index", "sentence"),
    [
        ([[0, 3], [0, 0]], "node 3 is outside 0..2"),
        ([[0, 0], [0, -1]], "node -1 is outside 0..2"),
        (np.array([[2**63], [0]], np.uint64), "node 9223372036854775808 is outside 0..2"),
        ([[0], [0], [0]], r"expected shape \[2, E\], got \[3, 1\]"),
        ([0, 1], r"expected shape \[2, E\], got \[2\]"),
        (np.empty((2, 0)), "expected whole numbers, got float64"),
        ([[True], [False]], "expected whole numbers, got bool"),
        ([["a"], ["b"]], "expected whole numbers, got"),
        ([[0, 1], [0]], "cannot be read as an array"),
        (torch.eye(3).to_sparse(), "cannot be read as an array"),
        (None, "expected whole numbers, got object"),
    ],
)
def test_refused_edges(edge_index, sentence):
    with pytest.raises(ValueError, match=f"^edge_index: .*{sentence}"):
        Graph(edge_index, 3)


@pytest.mark.parametrize("num_nodes", [-1, 2**31])
def test_refused_sizes(num_nodes):
    with pytest.raises(ValueError, match=r"^num_nodes: expected 0 to 2\^31 - 1"):
        Graph(np.empty((2, 0), int), num_nodes)


@pytest.mark.parametrize("number", [5.0, "3", None, True, np.True_, np.float32(3), np.array([3, 4])])
def test_counts_are_whole_numbers(number):
    with pytest.raises(ValueError, match=r"^num_nodes: expected a whole number, got"):
        Graph([[], []], number)
    if number is not None:
        with pytest.raises(ValueError, match=r"^num_graphs: expected a whole number, got"):
            Graph([[], []], 3, [0, 0, 1], number)
    assert Graph([[], []], np.int64(3), [0, 0, 1], np.int8(4)).num_graphs == 4


def test_a_graph_of_another_size_is_refused():
    graph = Graph([[0], [1]], 2)
    assert read_graph(graph, 2) is graph
    with pytest.raises(ValueError, match="this Graph has 2 nodes, x has 3 rows"):
        read_graph(graph, 3)


@pytest.mark.parametrize(
    ("batch", "num_graphs", "sentence"),
    [
        ([0.0, 1.0], None, "whole numbers, got float64"),
        ([0, 1, 1], None, r"expected shape \[2\], got \[3\]"),
        ([[0, 1]], None, r"expected shape \[2\], got \[1, 2\]"),
        ([0, -1], None, "cannot be negative, got -1"),
        ([0, 2], 2, "2 graphs, expected at least 3"),
        ([0, 2], None, "2 nodes in 3 graphs, give num_graphs"),
        ([0, 2_000_000_000], None, "2 nodes in 2000000001 graphs, give num_graphs"),
        (None, 0, "0 graphs, expected at least 1"),
    ],
)
def test_refused_batches(batch, num_graphs, sentence):
    with pytest.raises(ValueError, match=f"^batch: .*{sentence}"):
        Graph([[0], [0]], 2, batch, num_graphs)


@pytest.mark.parametrize(
    ("batch", "num_graphs", "graphs"),
    [(None, None, 1), ([1, 0], None, 2), (torch.tensor([0, 0]), None, 1), ([0, 2], 5, 5)],
)
def test_accepted_batches(batch, num_graphs, graphs):
    numbers, count = read_batch(batch, 2, num_graphs)
    assert count == graphs
    assert numbers.tolist() == (np.zeros(2) if batch is None else np.asarray(batch)).tolist()


def test_members_are_the_nodes_of_every_graph_in_order():
    graph = Graph([[0], [0]], 5, [2, 0, 2, 2, 0], 4)
    assert neighbours(graph.members) == [[1, 4], [], [0, 2, 3], []]
    assert graph.members.inverse_degrees.tolist() == [0.5, 0.0, np.float32(1) / np.float32(3), 0.0]
    assert (graph.rows("graph"), graph.rows("node")) == (4, 5)


def test_a_batch_belongs_to_its_graph():
    graph = Graph([[0], [0]], 2, [0, 1])
    assert read_graph(graph, 2) is graph
    with pytest.raises(ValueError, match=r"^batch: a Graph holds its own"):
        read_graph(graph, 2, [0, 1])
