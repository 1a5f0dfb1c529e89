"""The graph of a forward pass: order, self-loops, degrees, sums, caches."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from models.layers.functional import add_neighbour_sum, drop, dropout_factor, scaled, sum_neighbours
from models.layers.graph import Graph, TensorCache, features_of
from models.quantization.sparse import stable_order

NODES = 40


def adjacency(edges):
    """Dense [N, N]: number of edges from column to row."""
    return torch.zeros(NODES, NODES).index_put((edges[1], edges[0]), torch.ones(edges.shape[1]), accumulate=True)


def test_edges_are_sorted_by_target_in_the_order_given(edges):
    graph = Graph.of(edges, NODES)
    expected = sorted(edges.T.tolist(), key=lambda edge: edge[1])
    assert torch.stack([graph.source, graph.target], 1).tolist() == expected
    assert torch.equal(graph.adjacency.matrix(torch.ones(edges.shape[1])).to_dense(), adjacency(edges))


def test_every_node_has_one_self_loop(edges):
    loops = Graph.of(edges, NODES).with_self_loops
    expected = adjacency(edges).fill_diagonal_(1.0)
    assert torch.equal(adjacency(torch.stack([loops.source, loops.target])), expected)
    degree = expected.sum(1)
    torch.testing.assert_close(loops.inverse_sqrt_degree, degree.rsqrt())
    torch.testing.assert_close(loops.symmetric_norm, (degree[loops.source] * degree[loops.target]).rsqrt())


def test_nodes_without_edges_have_degree_factor_zero():
    graph = Graph.of(torch.tensor([[0, 0], [1, 1]]), 3)
    torch.testing.assert_close(graph.inverse_sqrt_degree, torch.tensor([0.0, 0.5**0.5, 0.0]))


@pytest.mark.parametrize("end", ["sources", "targets"])
@pytest.mark.parametrize("trailing", [(5,), (4, 3), (1,)])
def test_gather_and_sum_and_their_gradients(end, trailing, edges):
    graph = Graph.of(edges, NODES)
    incidence = getattr(graph, end)
    index = graph.source if end == "sources" else graph.target
    nodes = torch.randn(NODES, *trailing, requires_grad=True)
    messages = torch.randn(edges.shape[1], *trailing, requires_grad=True)
    for got, expected, leaf in (
        (incidence.gather(nodes), nodes[index], nodes),
        (incidence.sum(messages), torch.zeros(NODES, *trailing).index_add(0, index, messages), messages),
    ):
        torch.testing.assert_close(got, expected)
        upstream = torch.randn_like(expected)
        gradients = [torch.autograd.grad(result, leaf, upstream)[0] for result in (got, expected)]
        torch.testing.assert_close(*gradients)


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
    got = add_neighbour_sum(graph, scaled(x, torch.tensor(1.5)), neighbours)
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


@pytest.mark.parametrize("sparse", [True, False])
def test_dropout_keeps_the_mean_and_only_acts_in_training(sparse):
    dense = torch.ones(200, 100)
    x = features_of(dense.to_sparse_csr()) if sparse else dense
    factor = dropout_factor(x, 0.25, training=True)
    assert factor.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert abs(factor.mean() - 1.0) < 5 * (1 / 3 / factor.numel()) ** 0.5
    for p, training in ((0.0, True), (0.25, False)):
        assert dropout_factor(x, p, training=training) is None
        assert drop(x, p, training=training) is x
    dropped = drop(x, 0.25, training=True)
    dropped = dropped.to_dense() if sparse else dropped
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]


@pytest.mark.parametrize("wrong", [[[0, 40], [1, 2]], [[0, -1], [1, 2]], [[0, 1], [1, 100]]])
def test_edges_to_nodes_that_are_not_there_are_refused(wrong):
    with pytest.raises(ValueError, match=r"edge_index: nodes must lie in 0\.\.39 for 40 rows of features"):
        Graph.of(torch.tensor(wrong), NODES)


def test_a_graph_is_built_once_per_tensor_and_number_of_nodes(random_edges):
    edges = random_edges(NODES, 50)
    graph = Graph.of(edges, NODES)
    assert Graph.of(edges, NODES) is graph
    assert Graph.of(edges.clone(), NODES) is not graph
    assert Graph.of(edges, NODES + 1).num_nodes == NODES + 1
    edges[0, 0] = (edges[0, 0] + 1) % NODES
    rebuilt = Graph.of(edges, NODES)
    assert torch.equal(rebuilt.adjacency.matrix(torch.ones(edges.shape[1])).to_dense(), adjacency(edges))


def test_a_cache_lets_go_of_tensors():
    cache, key = TensorCache(), torch.zeros(3)
    value = cache.put(key, torch.nn.Identity())
    assert cache.get(key) is value
    watched = weakref.ref(value)
    del key, value
    gc.collect()
    assert watched() is None


def test_features_are_wrapped_once_while_unchanged(bag_of_words):
    dense = bag_of_words(NODES, 30)
    assert features_of(dense) is dense
    csr = dense.to_sparse_csr()
    assert features_of(csr) is features_of(csr)


@pytest.mark.parametrize("kind", ["random", "ascending", "empty"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_counting_order_is_the_stable_sort(kind, dtype):
    index = {"random": torch.randint(9, (500,)), "ascending": torch.arange(500) // 60, "empty": torch.empty(0)}[kind]
    index = index.to(dtype)
    assert torch.equal(stable_order(index, 9), torch.argsort(index, stable=True))


def test_a_batch_made_in_inference_mode_is_read_but_not_remembered():
    with torch.inference_mode():
        edges = torch.tensor([[0, 1], [1, 0]])
        graph = Graph.of(edges, 2)
        assert graph.target.tolist() == [0, 1]
        assert Graph.of(edges, 2) is not graph
