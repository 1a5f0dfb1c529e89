"""Maxima of rows over edges, plain and on vectors, packed or not, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph

WIDTHS = [1, 3, 7, 8, 16, 31, 32, 34, 110, 128, 145, 146, 256, 1433]
NODES, EDGES = 23, 90
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("width", [1, 16, 110])
@pytest.mark.parametrize("self_loops", [True, False])
def test_neighbour_max(vectors, maker, agree, graph, width, self_loops):
    grid = maker.grid()
    op = maker.op("neighbour_max", [("node", width, grid)], width, grid, self_loops=self_loops)
    got = agree(op, graph, maker.codes(grid, NODES, width))
    empty = graph.adjacency(self_loops=self_loops).degrees == 0
    assert empty.any() != self_loops
    assert (got[empty] == grid.zero_point).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("bits", [4, 8])
def test_neighbour_max_at_a_hub(vectors, make, agree, hub, width, bits, extreme):
    maker = make(seed=4, bits=bits)
    grid = maker.grid()
    agree(maker.op("neighbour_max", [("node", width, grid)], width, grid), hub, extreme(maker, grid, width))


@pytest.mark.parametrize("width", [1, 16, 110])
def test_pool(vectors, maker, agree, width):
    grid = maker.grid()
    graphs = Graph(maker.edges(NODES, EDGES), NODES, maker.rng.integers(0, 5, NODES), 7)
    op = maker.op("pool", [("node", width, grid)], width, grid, "graph", reduce="max")
    got = agree(op, graphs, maker.codes(grid, NODES, width))
    assert (got[5:] == grid.zero_point).all()


@pytest.mark.parametrize(("nodes", "graphs"), [(0, 3), (3, 3)])
def test_maxima_of_nothing_are_zero(vectors, maker, agree, nodes, graphs):
    grid, graph = maker.grid(), Graph(np.zeros((2, 0), int), nodes, np.zeros(nodes, int), graphs)
    x = maker.codes(grid, nodes, 64)
    received = agree(maker.op("neighbour_max", [("node", 64, grid)], 64, grid), graph, x)
    pooled = agree(maker.op("pool", [("node", 64, grid)], 64, grid, "graph", reduce="max"), graph, x)
    assert (received == grid.zero_point).all()
    assert (pooled[int(nodes > 0) :] == grid.zero_point).all()
