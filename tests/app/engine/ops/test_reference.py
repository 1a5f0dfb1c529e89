"""The reference against formulas spelled out with Python numbers on tiny cases."""

from __future__ import annotations

from functools import partial
from math import exp

import numpy as np
import pytest
import torch

from app.engine.graph import Graph
from app.engine.ops.reference import REFERENCE

EDGES = [(1, 0), (2, 0), (1, 0), (3, 3), (0, 2), (2, 2), (3, 1)]
NODES = 5
BATCH = [2, 0, 2, 2, 0]
"""The graph of every node: not sorted, and none is of graph 1."""


def float32_code(value, grid):
    """Python's own round is half to even too."""
    return min(max(round(float(value)) + grid.zero_point, grid.qmin), grid.qmax)


def edges_into(node, self_loops):
    if not self_loops:
        return [s for s, t in EDGES if t == node]
    return [s for s, t in EDGES if t == node and s != t] + [node]


def degree(node):
    return len(edges_into(node, True))


@pytest.fixture
def graph():
    return Graph(np.array(EDGES).T, NODES)


@pytest.fixture(params=[(8, True), (8, False), (4, True), (2, False)])
def maker(request, make):
    return make(3, *request.param)


@pytest.fixture
def run(alone):
    return partial(alone, REFERENCE)


@pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_sqrt_degree"}])
def test_linear(run, maker, graph, row_scale):
    xs, ws, out = maker.grid(0.5), maker.grid(0.25), maker.grid(1.0)
    x, weight = maker.codes(xs, NODES, 4), maker.constant(ws, 3, 4)
    bias = np.float32([0.5, -1.25, 3])
    op = maker.op(
        "linear", [("node", 4, xs)], 3, out, tensors={"weight": weight, "bias": bias},
        grids={"weight_grid": ws}, **row_scale,
    )  # fmt: skip
    expected = []
    for i in range(NODES):
        factor = np.float32(0.125) * (np.float32(1 / degree(i) ** 0.5) if row_scale else np.float32(1))
        accs = [
            sum((int(x[i, k]) - xs.zero_point) * (int(weight[m, k]) - ws.zero_point) for k in range(4))
            for m in range(3)
        ]
        expected.append([float32_code(np.float32(a) * factor + b, out) for a, b in zip(accs, bias, strict=True)])
    assert run(op, graph, x).tolist() == expected


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


def test_add(run, maker, graph):
    left, right, out = maker.grid(0.5), maker.grid(0.25), maker.grid(1.0)
    a, b = maker.codes(left, NODES, 3), maker.codes(right, NODES, 3)
    op = maker.op("add", [("node", 3, left), ("node", 3, right)], 3, out, weights=(1.5, 1.0))
    expected = [
        [
            float32_code((int(p) - left.zero_point) * 0.75 + (int(q) - right.zero_point) * 0.25, out)
            for p, q in zip(*rows, strict=True)
        ]
        for rows in zip(a, b, strict=True)
    ]
    assert run(op, graph, a, b).tolist() == expected


def test_requantize_with_a_bias(run, maker, graph):
    source, out = maker.grid(0.5), maker.grid(1.0)
    x, bias = maker.codes(source, NODES, 3), np.float32([1, -0.5, 0.25])
    op = maker.op("requantize", [("node", 3, source)], 3, out, tensors={"bias": bias})
    expected = [
        [float32_code((int(c) - source.zero_point) * 0.5 + v, out) for c, v in zip(row, bias, strict=True)] for row in x
    ]
    assert run(op, graph, x).tolist() == expected


def test_lookup(run, maker, graph):
    source, out = maker.grid(0.5), maker.grid(1.0)
    x, table = maker.codes(source, NODES, 3), maker.constant(out, 2**source.bits)
    op = maker.op("lookup", [("node", 3, source)], 3, out, tensors={"table": table})
    assert run(op, graph, x).tolist() == [[int(table[c - source.qmin]) for c in row] for row in x]


@pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_degree"}])
def test_pool(run, maker, row_scale):
    source, out = maker.grid(0.5), maker.grid(0.25)
    x = maker.codes(source, NODES, 2)
    op = maker.op("pool", [("node", 2, source)], 2, out, "graph", **row_scale)
    expected = []
    for g in range(4):
        members = [x[i] for i in range(NODES) if BATCH[i] == g]
        factor = np.float32(2) * (np.float32(1 / max(len(members), 1)) if row_scale else np.float32(1))
        sums = [sum(int(row[f]) - source.zero_point for row in members) for f in (0, 1)]
        expected.append([float32_code(np.float32(total) * factor, out) for total in sums])
    assert run(op, Graph(np.array(EDGES).T, NODES, BATCH, 4), x).tolist() == expected
    assert expected[1] == expected[3] == [out.zero_point] * 2


@pytest.mark.parametrize("self_loops", [True, False])
def test_neighbour_max(run, maker, graph, self_loops):
    grid = maker.grid()
    x = maker.codes(grid, NODES, 2)
    op = maker.op("neighbour_max", [("node", 2, grid)], 2, grid, self_loops=self_loops)
    rows = [[x[s].tolist() for s in edges_into(i, self_loops)] or [[grid.zero_point] * 2] for i in range(NODES)]
    assert run(op, graph, x).tolist() == [[max(row[f] for row in group) for f in (0, 1)] for group in rows]


def test_pool_takes_the_largest(run, maker):
    grid = maker.grid()
    x = maker.codes(grid, NODES, 2)
    op = maker.op("pool", [("node", 2, grid)], 2, grid, "graph", reduce="max")
    rows = [[x[i].tolist() for i in range(NODES) if BATCH[i] == g] or [[grid.zero_point] * 2] for g in range(4)]
    got = run(op, Graph(np.array(EDGES).T, NODES, BATCH, 4), x).tolist()
    assert got == [[max(row[f] for row in group) for f in (0, 1)] for group in rows]


@pytest.mark.parametrize("function", ["log_softmax", "softmax", "sigmoid"])
@pytest.mark.parametrize("scale", [0.05, 1e11])
def test_dequantize_applies_a_function_to_rows(run, maker, graph, function, scale):
    """As torch does in float64; the largest values overflow nothing."""
    grid = maker.grid(scale)
    x = maker.codes(grid, NODES, 11)
    got = run(maker.op("dequantize", [("node", 11, grid)], 11, None, function=function), graph, x)
    values = torch.from_numpy((x - grid.zero_point) * np.float64(np.float32(scale)))
    expected = values.sigmoid() if function == "sigmoid" else getattr(torch, function)(values, dim=1)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_embedding(run, maker, graph):
    out = maker.grid(0.5)
    table = maker.constant(out, 3, 2)
    op = maker.op("embedding", [("node", 1, None)], 2, out, tensors={"table": table})
    x = np.float32([[2], [0], [0], [1], [2]])
    assert run(op, graph, x).tolist() == [table[i].tolist() for i in (2, 0, 0, 1, 2)]
    for wrong in (3, -1, 0.5):
        with pytest.raises(ValueError, match=rf"^x: expected whole numbers from 0 to 2, got {wrong}"):
            run(op, graph, np.where(x == 1, np.float32(wrong), x))


def test_a_folded_norm_scales_every_feature(run, maker, graph):
    source, out = maker.grid(0.5), maker.grid(0.25)
    scale, shift = np.float32([0.75, -2.0, 0.0]), np.float32([1.5, 0.1, -3.0])
    op = maker.op("requantize", [("node", 3, source)], 3, out, tensors={"scale": scale, "bias": shift})
    x = maker.codes(source, NODES, 3)
    expected = [
        [
            float32_code(np.float32(int(row[f]) - source.zero_point) * (scale[f] * 2) + shift[f] * 4, out)
            for f in range(3)
        ]
        for row in x
    ]
    assert run(op, graph, x).tolist() == expected


def test_concatenate(run, maker, graph):
    grid = maker.grid()
    codes = [maker.codes(grid, NODES, width) for width in (2, 1, 3)]
    op = maker.op("concatenate", [("node", width, grid) for width in (2, 1, 3)], 6, grid)
    assert run(op, graph, *codes).tolist() == [[*a, *b, *c] for a, b, c in zip(*codes, strict=True)]


def test_maximum(run, maker, graph):
    grid = maker.grid()
    codes = [maker.codes(grid, NODES, 2) for _ in range(3)]
    op = maker.op("maximum", [("node", 2, grid)] * 3, 2, grid)
    assert run(op, graph, *codes).tolist() == [[max(c[i, f] for c in codes) for f in (0, 1)] for i in range(NODES)]


@pytest.mark.parametrize("scaled", [True, False])
def test_requantize_takes_the_mean_of_heads(run, maker, graph, scaled):
    source, out = maker.grid(0.5), maker.grid(0.25)
    tensors = {"bias": np.float32([0.5, -1.25])} | ({"scale": np.float32([0.75, -2.0])} if scaled else {})
    x = maker.codes(source, NODES, 6)
    op = maker.op("requantize", [("node", 6, source)], 2, out, tensors=tensors, heads=3)
    expected = []
    for row in x - source.zero_point:
        sums = [int(row[c] + row[2 + c] + row[4 + c]) for c in (0, 1)]
        scales = [float(s) * 0.5 / (3 * 0.25) for s in tensors.get("scale", (1.0, 1.0))]
        shifts = [float(b) / 0.25 for b in tensors["bias"]]
        values = [np.float32(a) * np.float32(m) + np.float32(b) for a, m, b in zip(sums, scales, shifts, strict=True)]
        expected.append([float32_code(value, out) for value in values])
    assert run(op, graph, x).tolist() == expected


def test_add_of_three(run, maker, graph):
    grids, out = [maker.grid(0.5), maker.grid(0.25), maker.grid(1.0)], maker.grid(0.5)
    codes = [maker.codes(grid, NODES, 2) for grid in grids]
    op = maker.op("add", [("node", 2, grid) for grid in grids], 2, out, weights=(1.0, 3.0, -0.5))
    expected = [
        [float32_code(sum(w * s * (int(c[i, f]) - g.zero_point) for w, s, c, g in terms) / 0.5, out) for f in (0, 1)]
        for terms in [list(zip((1.0, 3.0, -0.5), (0.5, 0.25, 1.0), codes, grids, strict=True))]
        for i in range(NODES)
    ]
    assert run(op, graph, *codes).tolist() == expected
