"""The reference's ops on rows against formulas spelled out with Python numbers on tiny cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.engine.graph import Graph
from tests.app.engine.ops.tiny import BATCH, EDGES, NODES, degree, float32_code


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


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("coded", [True, False])
def test_a_pooled_linear_multiplies_sums_and_may_write_floats_with_others_added(run, maker, coded, mean):
    xs, ws, out = maker.grid(0.5), maker.grid(0.25), maker.grid(1.0) if coded else None
    x, weight = maker.codes(xs, NODES, 4), maker.constant(ws, 3, 4)
    bias, added = np.float32([0.5, -1.25, 3]), np.arange(9, dtype=np.float32).reshape(3, 3)
    op = maker.op(
        "linear", [("node", 4, xs), *([] if coded else [("graph", 3, None)])], 3, out, domain="graph",
        tensors={"weight": weight, "bias": bias}, grids={"weight_grid": ws}, pooled=True,
        **({"row_scale": "inverse_degree"} if mean else {}),
    )  # fmt: skip
    batched = Graph(np.array(EDGES).T, NODES, np.array(BATCH))
    for g in range(3):
        nodes = [i for i in range(NODES) if BATCH[i] == g]
        sums = [sum(int(x[i, k]) - xs.zero_point for i in nodes) for k in range(4)]
        factor = np.float32(0.125) * (np.float32(len(nodes) and 1 / len(nodes)) if mean else np.float32(1))
        accs = [sum(sums[k] * (int(weight[m, k]) - ws.zero_point) for k in range(4)) for m in range(3)]
        values = [np.float32(acc) * factor + b for acc, b in zip(accs, bias, strict=True)]
        if coded:
            assert run(op, batched, x)[g].tolist() == [float32_code(value, out) for value in values]
        else:
            assert run(op, batched, x, added)[g].tolist() == [v + a for v, a in zip(values, added[g], strict=True)]


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
