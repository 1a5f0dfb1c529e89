"""Compiled ops without kernels of their own against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph

NODES = 23


@pytest.fixture(params=[(2, True), (4, False), (8, True), (8, False)])
def maker(request, make):
    return make(7, *request.param)


def test_embedding(maker, both):
    graph, out = Graph(maker.edges(NODES, 90), NODES), maker.grid()
    op = maker.op("embedding", [("node", 1, None)], 110, out, tensors={"table": maker.constant(out, 28, 110)})
    expected, got = both(op, graph, maker.rng.integers(0, 28, (NODES, 1)).astype(np.float32))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "attributes", [{"weighted": True}, {"loop_weight": 2.0}, {"weighted": True, "loop_weight": -1.0}]
)
@pytest.mark.parametrize("num_edges", [0, 90, 5000])
def test_weighted_edge_norm(maker, both, attributes, num_edges):
    weights = maker.rng.normal(0.5, 1, num_edges)
    graph = Graph(maker.edges(NODES, num_edges), NODES, edge_weight=weights)
    op = maker.op("edge_norm", [], 1, maker.grid(scale=0.01), "edge", self_loops=True, **attributes)
    expected, got = both(op, graph)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("num_edges", [0, 90, 5000])
def test_edge_weight(maker, both, num_edges):
    grid, edges = maker.grid(), maker.edges(NODES, num_edges)
    weights = maker.rng.normal(0, grid.scale * 2**grid.bits / 3, num_edges)
    weights[: num_edges // 9] *= 1e35
    op = maker.op("edge_weight", [], 1, grid, "edge")
    expected, got = both(op, Graph(edges, NODES, edge_weight=weights))
    np.testing.assert_array_equal(got, expected)
    assert num_edges == 0 or len(np.unique(got)) > 2


@pytest.mark.parametrize("widths", [(1, 1), (64, 3), (16, 110, 1, 145)])
@pytest.mark.parametrize("nodes", [0, NODES])
def test_concatenate(maker, both, widths, nodes):
    graph, grid = Graph(np.zeros((2, 0), int), nodes), maker.grid()
    op = maker.op("concatenate", [("node", width, grid) for width in widths], sum(widths), grid)
    expected, got = both(op, graph, *(maker.codes(grid, nodes, width) for width in widths))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("inputs", [2, 4])
@pytest.mark.parametrize("nodes", [0, NODES])
def test_maximum(maker, both, inputs, nodes):
    graph, grid = Graph(np.zeros((2, 0), int), nodes), maker.grid()
    op = maker.op("maximum", [("node", 110, grid)] * inputs, 110, grid)
    expected, got = both(op, graph, *(maker.codes(grid, nodes, 110) for _ in range(inputs)))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("self_loops", [True, False])
def test_edge_norm(maker, both, self_loops):
    graph = Graph(maker.edges(NODES, 90), NODES)
    expected, got = both(maker.op("edge_norm", [], 1, maker.grid(scale=0.01), "edge", self_loops=self_loops), graph)
    np.testing.assert_array_equal(got, expected)
