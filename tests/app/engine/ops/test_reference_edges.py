"""The reference's ops along edges against formulas spelled out with Python numbers on a tiny graph."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from app.engine.graph import Graph
from tests.app.engine.ops.tiny import EDGES, NODES, degree, edges_into, float32_code


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("row_scale", [None, "inverse_degree", "inverse_sqrt_degree"])
def test_sum(run, maker, graph, self_loops, row_scale):
    source, out = maker.grid(0.5), maker.grid(0.25)
    x = maker.codes(source, NODES, 2)
    attributes = {"row_scale": row_scale} if row_scale else {}
    op = maker.op("sum", [("node", 2, source)], 2, out, self_loops=self_loops, **attributes)
    power = {None: 0.0, "inverse_degree": 1.0, "inverse_sqrt_degree": 0.5}[row_scale]
    expected = []
    for i in range(NODES):
        rows = [x[s] for s in edges_into(i, self_loops)]
        factor = np.float32(2) * np.float32(1 / max(len(rows), 1) ** power)
        sums = [sum(int(row[f]) - source.zero_point for row in rows) for f in (0, 1)]
        expected.append([float32_code(np.float32(total) * factor, out) for total in sums])
    assert run(op, graph, x).tolist() == expected


def test_weighted_sum_of_coded_weights(run, maker, graph):
    ws, xs, message, out = maker.grid(0.125), maker.grid(0.5), maker.grid(0.25), maker.grid(1.0)
    order = [(s, i) for i in range(NODES) for s in edges_into(i, True)]
    weights, x = maker.codes(ws, len(order), 2), maker.codes(xs, NODES, 4)
    op = maker.op(
        "weighted_sum", [("edge", 2, ws), ("node", 4, xs)], 4, out,
        grids={"message_grid": message}, self_loops=True,
    )  # fmt: skip
    sums = np.zeros((NODES, 4))
    for e, (s, i) in enumerate(order):
        for f in range(4):
            r = (int(weights[e, f // 2]) - ws.zero_point) * (int(x[s, f]) - xs.zero_point)
            sums[i, f] += float32_code(r * 0.25, message) - message.zero_point
    expected = [[float32_code(value * 0.25, out) for value in row] for row in sums]
    assert run(op, graph, weights, x).tolist() == expected


def attention_operands(maker):
    """Grids of rows, vectors and logits; two heads of three columns."""
    attention = maker.grid(0.25)
    vectors = {role: maker.constant(attention, 2, 3) for role in ("source", "target")}
    return maker.grid(0.5), attention, maker.grid(1.0), vectors


def test_attention_logits(run, maker, graph):
    xs, attention, out, vectors = attention_operands(maker)
    x = maker.codes(xs, NODES, 6)
    op = maker.op(
        "attention_logits", [("node", 6, xs)], 2, out, "edge",
        tensors=vectors, grids={"attention_grid": attention}, self_loops=True,
    )  # fmt: skip

    def dot(node, role, h):
        return sum(
            (int(x[node, 3 * h + c]) - xs.zero_point) * (int(vectors[role][h, c]) - attention.zero_point)
            for c in range(3)
        )

    expected = [
        [float32_code((dot(s, "source", h) + dot(i, "target", h)) / 8, out) for h in (0, 1)]
        for i in range(NODES)
        for s in edges_into(i, True)
    ]
    assert run(op, graph, x).tolist() == expected


def test_dynamic_attention_logits(run, maker, graph):
    xs, attention, out, vectors = attention_operands(maker)
    left, right, a = maker.codes(xs, NODES, 6), maker.codes(xs, NODES, 6), vectors["source"]
    op = maker.op(
        "dynamic_attention_logits", [("node", 6, xs), ("node", 6, xs)], 2, out, "edge",
        tensors={"attention": a}, grids={"attention_grid": attention}, self_loops=True, negative_slope=0.25,
    )  # fmt: skip

    def logit(source, target, h):
        total = 0.0
        for c in range(3):
            t = int(left[source, 3 * h + c]) + int(right[target, 3 * h + c]) - 2 * xs.zero_point
            total += (int(a[h, c]) - attention.zero_point) * (t if t > 0 else 0.25 * t)
        return float32_code(total / 8, out)

    expected = [[logit(s, i, h) for h in (0, 1)] for i in range(NODES) for s in edges_into(i, True)]
    assert run(op, graph, left, right).tolist() == expected


def test_edge_softmax(run, maker, graph):
    grid = maker.grid(1.0)
    op = maker.op("edge_softmax", [("edge", 2, grid)], 2, None, "edge", negative_slope=0.2, self_loops=True)
    sizes = [len(edges_into(i, True)) for i in range(NODES)]
    logits, expected = maker.codes(grid, sum(sizes), 2), []
    for rows in np.split(logits, np.cumsum(sizes)[:-1]):
        values = [[max(v, 0.2 * v) for v in (int(c) - grid.zero_point for c in column)] for column in rows.T]
        powers = [[exp(v - max(column)) for v in column] for column in values]
        shares = [[p / sum(column) for p in column] for column in powers]
        expected += [list(row) for row in zip(*shares, strict=True)]
    np.testing.assert_allclose(run(op, graph, logits), expected, rtol=1e-4, atol=1e-12)


def test_edge_norm(run, maker, graph):
    out = maker.grid(0.01)
    op = maker.op("edge_norm", [], 1, out, "edge", self_loops=True)
    expected = [
        [float32_code(1 / (degree(s) * degree(i)) ** 0.5 / 0.01, out)]
        for i in range(NODES)
        for s in edges_into(i, True)
    ]
    assert run(op, graph).tolist() == expected


def test_edge_norm_without_self_loops_is_zero_from_a_source_nothing_enters(run, make):
    maker = make(bits=8, signed=False)
    op = maker.op("edge_norm", [], 1, maker.grid(0.01, zero_point=0), "edge")
    assert run(op, Graph([[0, 1, 1], [1, 2, 1]], 3)).tolist() == [[0], [50], [71]]


WEIGHTS = [0.5, 2.0, -0.75, 3.0, 0.0, 0.25, 4.0]
"""Of `EDGES`."""


def test_edge_weight(run, maker):
    out = maker.grid(0.5)
    graph = Graph(np.array(EDGES).T, NODES, edge_weight=WEIGHTS)
    expected = [
        [float32_code(np.float32(w / 0.5), out)]
        for i in range(NODES)
        for (_, t), w in zip(EDGES, WEIGHTS, strict=True)
        if t == i
    ]
    assert run(maker.op("edge_weight", [], 1, out, "edge"), graph).tolist() == expected


@pytest.mark.parametrize("loop_weight", [{}, {"loop_weight": 2.0}, {"loop_weight": -3.0}])
@pytest.mark.parametrize("weighted", [True, False])
def test_weighted_edge_norm(run, maker, weighted, loop_weight):
    """Node 3 has two self-loops, of which the last counts; nodes 0, 1 and 4 get one."""
    edges, weights = [*EDGES, (3, 3)], [*WEIGHTS, 9.0] if weighted else [1.0] * 8
    own = {t: w for (s, t), w in zip(edges, weights, strict=True) if s == t}
    into = [
        [(s, w) for (s, t), w in zip(edges, weights, strict=True) if t == i != s]
        + [(i, own.get(i, loop_weight.get("loop_weight", 1.0)))]
        for i in range(NODES)
    ]
    inverse = [total**-0.5 if (total := sum(w for _, w in row)) > 0 else 0.0 for row in into]
    out = maker.grid(0.02)
    expected = [[float32_code(inverse[s] * w * inverse[i] / 0.02, out)] for i in range(NODES) for s, w in into[i]]
    attributes = {"weighted": True, **loop_weight} if weighted else loop_weight
    op = maker.op("edge_norm", [], 1, out, "edge", self_loops=True, **attributes)
    assert run(op, Graph(np.array(edges).T, NODES, edge_weight=weights)).tolist() == expected


@pytest.mark.parametrize("self_loops", [True, False])
def test_neighbour_max(run, maker, graph, self_loops):
    grid = maker.grid()
    x = maker.codes(grid, NODES, 2)
    op = maker.op("neighbour_max", [("node", 2, grid)], 2, grid, self_loops=self_loops)
    rows = [[x[s].tolist() for s in edges_into(i, self_loops)] or [[grid.zero_point] * 2] for i in range(NODES)]
    assert run(op, graph, x).tolist() == [[max(row[f] for row in group) for f in (0, 1)] for group in rows]
