"""Weights of edges: what is refused, their order, and programs that read them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.engine import Executable, Graph
from app.engine.reading import MISSING, NOT_READ
from tests.app.engine.test_executor import assert_same_trace

NODES, WIDTH, EDGES = 40, 60, 150


@pytest.fixture
def weights(make):
    return make(2).rng.normal(0.4, 0.4, EDGES).astype(np.float32)


def test_weights_are_in_the_order_of_edges(edges, weights):
    graph = Graph(edges, NODES, edge_weight=weights)
    np.testing.assert_array_equal(graph.weights, weights[np.argsort(edges[1], kind="stable")])


@pytest.mark.parametrize("bits", [8, 4])
def test_both_backends_agree_on_every_value(make_program, x, edges, weights, bits):
    program = make_program("gcn_weighted", WIDTH, hidden=32, bits=bits)
    compiled, reference = Executable(program), Executable(program, "reference")
    trace = compiled.trace(x, edges, edge_weight=weights)
    assert_same_trace(trace, reference.trace(x, edges, edge_weight=weights))
    assert all(len(np.unique(value)) >= 3 for value in trace.values())
    graph = Graph(edges, NODES, edge_weight=torch.from_numpy(weights))
    for _ in range(2):
        np.testing.assert_array_equal(compiled.run(x, graph), trace["logits"])


@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_graphs_without_edges(make_program, x, nodes):
    program, nothing = make_program("gcn_weighted", WIDTH), np.empty((2, 0), np.int64)
    got, expected = (
        Executable(program, backend).run(x[:nodes], nothing, edge_weight=np.empty(0))
        for backend in ("compiled", "reference")
    )
    np.testing.assert_array_equal(got, expected)


def test_weights_of_one_count_edges(edges):
    """But for the rounding: with weights, coefficients are formed in float64."""
    graph = Graph(edges, NODES, edge_weight=np.ones(EDGES))
    np.testing.assert_allclose(graph.norm(self_loops=True, weighted=True), graph.norm(self_loops=True), rtol=1e-6)
    np.testing.assert_array_equal(graph.norm(self_loops=True), Graph(edges, NODES).adjacency(self_loops=True).norm)


def test_a_program_gets_weights_exactly_if_it_reads_them(make_program, x, edges, weights):
    reading, other = (Executable(make_program(kind, WIDTH)) for kind in ("gcn_weighted", "gcn_edge"))
    for call in (reading.run, reading.trace):
        with pytest.raises(ValueError, match=f"^{MISSING}$"):
            call(x, edges)
    for graph, given in ((edges, weights), (Graph(edges, NODES, edge_weight=weights), None)):
        with pytest.raises(ValueError, match=f"^{NOT_READ}$"):
            other.run(x, graph, edge_weight=given)


def test_a_graph_holds_its_weights(make_program, x, edges, weights):
    with pytest.raises(ValueError, match=r"^edge_weight: a Graph holds its own"):
        Executable(make_program("gcn_weighted", WIDTH)).run(x, Graph(edges, NODES), edge_weight=weights)


@pytest.mark.parametrize(
    ("edge_weight", "sentence"),
    [
        (np.ones(2), r"expected shape \[3\], one for every edge, got \[2\]"),
        (np.ones((3, 1)), r"expected shape \[3\], one for every edge, got \[3, 1\]"),
        ([1.0, np.nan, 1.0], "NaN or not finite in float32"),
        ([1.0, -np.inf, 1.0], "NaN or not finite in float32"),
        ([1.0, 1e39, 1.0], "NaN or not finite in float32"),
        (["a", "b", "c"], "expected real numbers, got <U1"),
        (np.ones(3, complex), "expected real numbers, got complex128"),
        ([[1.0], [1.0, 2.0]], "cannot be read as an array"),
    ],
)
def test_refused_weights(edge_weight, sentence):
    with pytest.raises(ValueError, match=f"^edge_weight: .*{sentence}"):
        Graph([[0, 1, 2], [1, 1, 0]], 3, edge_weight=edge_weight)


def test_the_largest_weights_give_no_nan():
    """Sums that cancel out to almost nothing make coefficients beyond float32, which are infinite."""
    tiny, huge = 1e-45, 3e38
    graph = Graph([[0, 1, 2, 1], [0, 0, 0, 1]], 3, edge_weight=[tiny, huge, -huge, tiny])
    norm = graph.norm(self_loops=True, weighted=True, loop_weight=-1.0)
    assert not np.isnan(norm).any()
    assert np.isinf(norm).any()
