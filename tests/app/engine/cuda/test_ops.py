"""Ops alone on a device, where programs do not reach: extreme weights and sizes, and nothing at all."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph

NODES = 9
NONE = Graph(np.zeros((2, 0), int), NODES)


@pytest.fixture(params=[(2, True), (8, True), (8, False)])
def maker(request, make):
    return make(7, *request.param)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(0, 5, 3), (1, 1, 1), (70, 66, 131)])
def test_linear_with_weights_on_both_sides_of_any_zero_point(maker, both_there, rows, inner, columns):
    seen = set()
    for zero_point in (None, "first", "last"):
        grid = maker.grid()
        ends = {"first": grid.qmin, "last": grid.qmax, None: None}
        weight_grid = maker.grid(zero_point=ends[zero_point])
        tensors = {
            "weight": maker.constant(weight_grid, columns, inner),
            "bias": maker.rng.normal(size=columns).astype(np.float32),
        }
        middle = grid.qmin + 2 ** (maker.bits - 1)
        out = maker.grid(grid.scale * weight_grid.scale * inner * 4.0 ** (maker.bits - 3), middle)
        parts = {"tensors": tensors, "grids": {"weight_grid": weight_grid}}
        op = maker.op("linear", [("node", inner, grid)], columns, out, **parts)
        graph = Graph(np.zeros((2, 0), int), rows)
        expected, got = both_there(op, graph, maker.codes(grid, rows, inner))
        np.testing.assert_array_equal(got, expected)
        seen |= set(got.flat)
    assert rows < 2 or len(seen) > 1


def test_a_sum_that_leaves_int32(make, both_there):
    """All codes at one end: 33,100 products of 255 and 255."""
    maker, inner = make(1, 8, False), 33_100
    grid, weight_grid = maker.grid(1.0, 0), maker.grid(1.0, 0)
    tensors = {"weight": np.full((1, inner), 255, np.uint8)}
    out = maker.grid(2.0**24, 0)
    op = maker.op("linear", [("node", inner, grid)], 1, out, tensors=tensors, grids={"weight_grid": weight_grid})
    expected, got = both_there(op, Graph(np.zeros((2, 0), int), 1), np.full((1, inner), 255))
    assert expected.tolist() == got.tolist() == [[128]]


@pytest.mark.parametrize("kind", ["sum", "neighbour_max", "pool"])
@pytest.mark.parametrize("width", [1, 130])
def test_no_edges_and_no_nodes(maker, both_there, kind, width):
    grid = maker.grid()
    for nodes in (0, NODES):
        graph = Graph(np.zeros((2, 0), int), nodes, np.full(nodes, 1), 3)
        domain, out = "graph" if kind == "pool" else "node", grid if kind == "neighbour_max" else maker.grid()
        op = maker.op(kind, [("node", width, grid)], width, out, domain)
        expected, got = both_there(op, graph, maker.codes(grid, nodes, width))
        np.testing.assert_array_equal(got, expected)


def test_a_hub_is_summed_in_several_steps(maker, both_there):
    grid = maker.grid()
    graph = Graph(maker.edges(NODES, 700), NODES)
    for attributes in ({}, {"row_scale": "inverse_degree"}, {"self_loops": True}):
        op = maker.op("sum", [("node", 3, grid)], 3, maker.grid(grid.scale * 30), **attributes)
        expected, got = both_there(op, graph, maker.codes(grid, NODES, 3))
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("heads", [1, 2])
def test_weighted_sum(maker, both_there, heads):
    graph, grid, weights = Graph(maker.edges(NODES, 90), NODES), maker.grid(), maker.grid()
    messages = {"message_grid": maker.grid(grid.scale * weights.scale * 9)}
    out = maker.grid(messages["message_grid"].scale * 4)
    inputs = [("edge", heads, weights), ("node", 6, grid)]
    op = maker.op("weighted_sum", inputs, 6, out, grids=messages, self_loops=False)
    expected, got = both_there(op, graph, maker.codes(weights, 90, heads), maker.codes(grid, NODES, 6))
    np.testing.assert_array_equal(got, expected)


def test_softmax_adds_in_the_order_of_edges(make, both_there):
    """The coefficients are float32: another order would differ in the last bit."""
    maker = make(3)
    grid, graph = maker.grid(0.07), Graph(maker.edges(NODES, 300), NODES)
    op = maker.op("edge_softmax", [("edge", 3, grid)], 3, None, "edge", negative_slope=0.2)
    codes = maker.codes(grid, 300, 3)
    expected, got = both_there(op, graph, codes)
    np.testing.assert_array_equal(got, expected)
    backwards = both_there(op, graph, codes[::-1].copy())[1]
    assert not np.array_equal(np.sort(backwards, 0), np.sort(got, 0)) or len(np.unique(codes)) == 1


@pytest.mark.parametrize("inputs", [2, 3])
def test_add(maker, both_there, inputs):
    grids = [maker.grid() for _ in range(inputs)]
    operands = [("node", 5, grid) for grid in grids]
    op = maker.op("add", operands, 5, maker.grid(), weights=tuple([1.25, -1.0, 0.5][:inputs]))
    expected, got = both_there(op, NONE, *(maker.codes(grid, NODES, 5) for grid in grids))
    np.testing.assert_array_equal(got, expected)


def test_embedding(maker, both_there, there):
    out = maker.grid()
    op = maker.op("embedding", [("node", 1, None)], 11, out, tensors={"table": maker.constant(out, 28, 11)})
    expected, got = both_there(op, NONE, maker.rng.integers(0, 28, (NODES, 1)).astype(np.float32))
    np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="expected whole numbers from 0 to 27, got 28"):
        there(op, NONE, np.full((NODES, 1), 28, np.float32))


def test_in_degree(make, both_there):
    graph = Graph(make(1).edges(NODES, 40), NODES)
    expected, got = both_there(make(1).op("in_degree", [], 1, None), graph)
    np.testing.assert_array_equal(got, expected)
