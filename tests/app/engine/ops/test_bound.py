"""Constants of ops: products of float32 scales, formed in float64 and rounded once."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.ops.bound import add_multipliers, epilogue_constants, message_multiplier, row_factors


@pytest.fixture
def maker(make):
    return make(11)


@pytest.fixture
def scales(maker):
    """200 triples of scales for which float32 products along the way would give other multipliers."""
    triples = [[float(np.float32(v)) for v in maker.rng.uniform(0.001, 1, 3)] for _ in range(1000)]
    return [
        (x, w, out)
        for x, w, out in triples
        if np.float32(x * w / out) != np.float32(x) * np.float32(w) / np.float32(out)
    ][:200]


def linear(maker, x, w, out, **attributes):
    tensors = {"bias": maker.rng.normal(size=2).astype(np.float32)}
    grids = {"weight_grid": maker.grid(w)}
    return maker.op(
        "linear", [("node", 4, maker.grid(x))], 2, maker.grid(out), tensors=tensors, grids=grids, **attributes
    )


def test_multipliers_and_addends_of_an_epilogue(maker, scales):
    assert len(scales) == 200
    for x, w, out in scales:
        op = linear(maker, x, w, out)
        multiplier, addend = epilogue_constants(op)
        assert multiplier.dtype == addend.dtype == np.float32
        assert multiplier == np.float32(x * w / out)
        assert addend.tolist() == [np.float32(float(b) / out) for b in op.tensors["bias"]]


def test_multipliers_of_add(maker, scales):
    for x, w, out in scales:
        grids = [("node", 1, maker.grid(x)), ("node", 1, maker.grid(w))]
        op = maker.op("add", grids, 1, maker.grid(out), weights=(1.0, 1.1))
        assert add_multipliers(op) == [np.float32(x / out), np.float32(float(np.float32(1.1)) * w / out)]


def test_multiplier_of_messages(maker, scales):
    for x, w, message in scales:
        inputs = [("edge", 1, maker.grid(w)), ("node", 1, maker.grid(x))]
        op = maker.op("weighted_sum", inputs, 1, maker.grid(), grids={"message_grid": maker.grid(message)})
        assert message_multiplier(op) == np.float32(x * w / message)


@pytest.mark.parametrize(
    ("self_loops", "row_scale", "degrees"),
    [
        (True, "inverse_sqrt_degree", [2, 2, 1]),
        (False, "inverse_sqrt_degree", [2, 1, 0]),
        (True, "inverse_degree", [2, 2, 1]),
        (False, "inverse_degree", [2, 1, 0]),
    ],
)
def test_factors_of_a_sum_are_those_of_the_edges_it_sees(maker, self_loops, row_scale, degrees):
    graph = Graph([[1, 0, 0], [0, 0, 1]], 3)
    source = maker.grid()
    op = maker.op("sum", [("node", 1, source)], 1, source, self_loops=self_loops, row_scale=row_scale)
    power = 0.5 if row_scale == "inverse_sqrt_degree" else 1.0
    got = row_factors(op).of(graph)
    assert got.dtype == np.float32
    assert got.tolist() == [np.float32(d**-power) if d else 0.0 for d in degrees]


def test_factors_of_linear_are_those_of_the_graph_with_self_loops(maker):
    op = linear(maker, 0.1, 0.1, 0.1, row_scale="inverse_sqrt_degree")
    got = row_factors(op).of(Graph([[1, 0, 0], [0, 0, 1]], 3))
    assert got.tolist() == [np.float32(0.5**0.5), np.float32(0.5**0.5), 1.0]


def test_factors_of_pool_are_those_of_its_graphs(maker):
    source = maker.grid()
    op = maker.op("pool", [("node", 1, source)], 1, source, "graph", row_scale="inverse_degree")
    assert row_factors(op).of(Graph([[0], [0]], 4, [0, 2, 0, 0], 3)).tolist() == [np.float32(1 / 3), 0.0, 1.0]
