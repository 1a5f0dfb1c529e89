"""The graph of a forward pass: order, self-loops, degrees, sums, caches."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from app.engine import Graph as EngineGraph
from models.layers.functional import sum_neighbours
from models.layers.graph import Graph, TensorCache, features_of

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


def weighted_as(edges, weights, loop_weight):
    """Every edge with its coefficient by PyG, in the order of ours."""
    ends, norm = gcn_norm(edges, weights, NODES, improved=loop_weight == 2.0)
    order = ends[1].argsort(stable=True)
    return ends[:, order], norm[order]


@pytest.mark.parametrize("loop_weight", [1.0, 2.0])
def test_weighted_coefficients_are_those_of_pyg(edges, loop_weight):
    """Of several self-loops of a node the last one counts."""
    weights = torch.rand(edges.shape[1])
    loops = Graph.of(edges, NODES, weights).looped(loop_weight)
    ends, norm = weighted_as(edges, weights, loop_weight)
    assert torch.equal(torch.stack([loops.source, loops.target]), ends)
    torch.testing.assert_close(loops.symmetric_norm, norm, rtol=1e-5, atol=0)


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("loop_weight", [1.0, 2.0, 0.3])
@pytest.mark.parametrize("weighted", [True, False])
def test_coefficients_are_bit_for_bit_those_of_the_engine(random_edges, self_loops, loop_weight, weighted):
    edges = random_edges(NODES, 5000)
    weights = torch.randn(5000) if weighted else None  # degrees of either sign
    graph = Graph.of(edges, NODES, weights)
    engine = EngineGraph(edges, NODES, edge_weight=weights)
    got = (graph.looped(loop_weight) if self_loops else graph).symmetric_norm
    settings = {"loop_weight": loop_weight} if self_loops else {}
    np.testing.assert_array_equal(got.numpy(), engine.norm(self_loops=self_loops, weighted=weighted, **settings))
    if weighted:
        np.testing.assert_array_equal(graph.weight.numpy(), engine.weights)
        assert (got == 0).any()
        assert (got != 0).any()


@pytest.mark.parametrize("name", ["source", "target", "inverse_sqrt_degree", "inverse_degree"])
def test_weights_change_nothing_but_coefficients(edges, name):
    with_weights, without = Graph.of(edges, NODES, torch.rand(edges.shape[1])), Graph.of(edges, NODES)
    assert without.weight is without.with_self_loops.weight is None
    assert torch.equal(getattr(with_weights, name), getattr(without, name))
    assert torch.equal(getattr(with_weights.with_self_loops, name), getattr(without.with_self_loops, name))


def test_a_graph_is_built_once_per_edges_and_weights(random_edges):
    edges, weights = random_edges(NODES, 50), torch.rand(50)
    graph = Graph.of(edges, NODES, weights)
    assert Graph.of(edges, NODES, weights) is graph
    assert Graph.of(edges, NODES) is Graph.of(edges, NODES) is not graph
    assert Graph.of(edges.clone(), NODES, weights) is not graph
    weights[0] = 7.0
    assert 7.0 in Graph.of(edges, NODES, weights).weight
    assert graph.looped(2.0) is graph.looped(2.0) is not graph.with_self_loops


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (torch.ones(2), r"expected shape \[3\], got \[2\]"),
        (torch.ones(3, 1), r"expected shape \[3\], got \[3, 1\]"),
        (torch.tensor([1.0, float("nan"), 1.0]), "NaN or not finite in float32"),
        (torch.tensor([1.0, 1e39, 1.0], dtype=torch.float64), "NaN or not finite in float32"),
        (torch.ones(3, requires_grad=True), r"would get no gradient; pass edge_weight.detach\(\)"),
    ],
)
def test_refused_weights(weights, sentence):
    with pytest.raises(ValueError, match=f"^edge_weight: .*{sentence}"):
        Graph.of(torch.tensor([[0, 1, 2], [1, 1, 0]]), 3, weights)


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


def test_a_batch_made_in_inference_mode_is_read_but_not_remembered():
    with torch.inference_mode():
        edges = torch.tensor([[0, 1], [1, 0]])
        graph = Graph.of(edges, 2)
        assert graph.target.tolist() == [0, 1]
        assert Graph.of(edges, 2) is not graph


@pytest.mark.parametrize("name", ["symmetric_norm", "inverse_degree", "inverse_sqrt_degree"])
def test_what_evaluation_has_derived_from_a_graph_serves_training(random_edges, name):
    edges, weight = random_edges(20, 60), torch.ones((), requires_grad=True)
    with torch.inference_mode():
        getattr(Graph.of(edges, 20), name)
    (getattr(Graph.of(edges, 20), name) * weight).sum().backward()
    assert weight.grad is not None


def test_sums_of_sparse_rows_that_evaluation_has_prepared_serve_training(random_edges, bag_of_words):
    edges, x, weight = (
        random_edges(20, 60),
        bag_of_words(20, 30, 0.2).to_sparse_csr(),
        torch.ones((), requires_grad=True),
    )

    def total():
        rows = features_of(x)
        return sum_neighbours(Graph.of(edges, 20), rows.with_values(rows.values * weight)).values.sum()

    with torch.inference_mode():
        total()
    total().backward()
    assert weight.grad is not None


def test_sorted_edges_are_shared_and_die_with_their_owner():
    edges = torch.stack([torch.arange(5), torch.arange(5)])
    graph, owner = Graph.of(edges, 5), weakref.ref(edges)
    assert graph.source.data_ptr() == edges.data_ptr()
    del edges
    gc.collect()
    assert owner() is None


def test_training_can_use_a_graph_of_inference_mode():
    with torch.inference_mode():
        edges = torch.zeros(2, 5, dtype=torch.int64)
        graph = Graph.of(edges, 5, torch.ones(5))
    assert not any(part.is_inference() for part in (graph.source, graph.target, graph.weight))
