"""Sums over neighbours and dropout, of dense and of sparse rows."""

from __future__ import annotations

import pytest
import torch

from models.layers.functional import add_neighbour_sum, drop, dropout_factor, scaled, sum_neighbours
from models.layers.graph import Graph, features_of
from models.quantization.sparse import SparseRows

NODES = 40


def adjacency(edges):
    """Dense [N, N]: number of edges from column to row."""
    return torch.zeros(NODES, NODES).index_put((edges[1], edges[0]), torch.ones(edges.shape[1]), accumulate=True)


@pytest.mark.parametrize("sparse", [True, False])
def test_sums_over_neighbours_and_their_gradients(sparse, edges, bag_of_words):
    dense = bag_of_words(NODES, 30, 0.1)
    leaf = dense.clone().requires_grad_()
    graph, dense_adjacency = Graph.of(edges, NODES), adjacency(edges)
    expected = dense_adjacency @ leaf + 1.5 * leaf
    x = features_of(dense.to_sparse_csr()) if sparse else dense.clone()
    values = x.values if sparse else x
    values.requires_grad_()
    neighbours = sum_neighbours(graph, x)
    got = add_neighbour_sum(graph, scaled(x, torch.tensor(1.5)), x, neighbours)
    if sparse:
        torch.testing.assert_close(neighbours.to_dense(), dense_adjacency @ dense)
        got = got.to_dense()
    torch.testing.assert_close(got, expected)
    upstream = torch.randn(NODES, 30)
    got.backward(upstream)
    expected.backward(upstream)
    gradient = leaf.grad[x.pattern.rows, x.pattern.cols.long()] if sparse else leaf.grad
    torch.testing.assert_close(values.grad, gradient)


def test_sparse_sums_store_nothing_twice(bag_of_words, random_edges):
    x = features_of(bag_of_words(NODES, 30, 0.1).to_sparse_csr())
    graph = Graph.of(random_edges(NODES, 100), NODES)
    pattern = sum_neighbours(graph, x).pattern
    places = pattern.rows * 30 + pattern.cols
    assert (places.diff() > 0).all()
    assert sum_neighbours(graph, x.with_values(2 * x.values)).pattern is pattern


@pytest.fixture(params=[True, False], ids=["sparse", "dense"])
def ones(request):
    dense = torch.ones(200, 100)
    return features_of(dense.to_sparse_csr()) if request.param else dense


def test_dropout_keeps_the_mean(ones):
    factor = dropout_factor(ones, 0.25, training=True)
    assert factor.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert abs(factor.mean() - 1.0) < 5 * (1 / 3 / factor.numel()) ** 0.5


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.25, False)])
def test_without_a_probability_or_in_evaluation_there_is_no_dropout(ones, p, training):
    assert dropout_factor(ones, p, training=training) is None
    assert drop(ones, p, training=training) is ones


def test_dropout_multiplies_stored_entries(ones):
    dropped = drop(ones, 0.25, training=True)
    dropped = dropped.to_dense() if isinstance(dropped, SparseRows) else dropped
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
