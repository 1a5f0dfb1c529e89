"""The reference's normalised rows against formulas spelled out with Python numbers on a tiny graph."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from app.engine.graph import Graph
from tests.app.engine.ops.tiny import BATCH, EDGES, NODES, float32_code

WIDTH, EPS = 3, 0.125


def together(over, node):
    """The nodes whose entries are normalised with those of a node."""
    alike = {"row": [node], "all": range(NODES), "graph": [i for i in range(NODES) if BATCH[i] == BATCH[node]]}
    return alike[over]


def expected_codes(values, out, over, tensors, per_column=False, beside=False):
    columns = range(WIDTH)
    share, weight, bias = (tensors.get(role, [default] * WIDTH) for role, default in DEFAULTS.items())
    rows = []
    for i in range(NODES):
        row = []
        for j in columns:
            of = [j] if per_column else columns
            cells = [(k, c) for k in together(over, i) for c in of]
            means = {c: sum(values[k][m] for k, m in cells) / len(cells) for c in columns}
            squares = sum((values[k][c] - float(share[c]) * means[c]) ** 2 for k, c in cells) / len(cells)
            deviation = sqrt(squares) + EPS if beside else sqrt(squares + EPS)
            y = (values[i][j] - float(share[j]) * means[j]) / deviation * float(weight[j]) + float(bias[j])
            row.append(float32_code(np.float32(y) / np.float32(out.scale), out))
        rows.append(row)
    return rows


DEFAULTS = {"mean_scale": 1.0, "scale": 1.0, "bias": 0.0}
TENSORS = {"mean_scale": np.float32([0.5, 1, 2]), "scale": np.float32([1, -0.5, 2]), "bias": np.float32([0, 1, -0.25])}


def operands(maker, scale=0.5):
    source, out = maker.grid(scale), maker.grid(0.03125)
    x = maker.codes(source, NODES, WIDTH)
    return source, out, x, ((x - source.zero_point) * scale).tolist()


@pytest.mark.parametrize("tensors", [{}, TENSORS], ids=["plain", "affine"])
@pytest.mark.parametrize(
    ("over", "per_column"), [("row", False), ("graph", False), ("graph", True), ("all", False), ("all", True)]
)
def test_normalize(run, maker, over, per_column, tensors):
    source, out, x, values = operands(maker)
    flags = {"per_column": True} if per_column else {}
    op = maker.op("normalize", [("node", WIDTH, source)], WIDTH, out, tensors=tensors, over=over, eps=EPS, **flags)
    graph = Graph(np.array(EDGES).T, NODES, BATCH)
    assert run(op, graph, x).tolist() == expected_codes(values, out, over, tensors, per_column)


@pytest.mark.parametrize(
    ("over", "batch", "beside"),
    [("graph", BATCH, False), ("graph", [0] * NODES, False), ("graph", None, True), ("all", BATCH, True)],
)
def test_eps_is_beside_the_deviation_where_no_batch_is_given(run, maker, over, batch, beside):
    source, out, x, values = operands(maker, 2.0**-maker.bits)
    op = maker.op("normalize", [("node", WIDTH, source)], WIDTH, out, over=over, eps=EPS, eps_beside=True)
    of = over if batch is BATCH else "all"
    expected = expected_codes(values, out, of, {}, beside=beside)
    assert run(op, Graph(np.array(EDGES).T, NODES, batch), x).tolist() == expected


def test_length(run, maker, graph):
    source, out, x, values = operands(maker)
    x[1] = source.zero_point
    values[1] = [0.0] * WIDTH
    op = maker.op("normalize", [("node", WIDTH, source)], WIDTH, out, over="row", eps=1e-12, length=True)
    lengths = [max(sqrt(sum(value**2 for value in row)), 1e-12) for row in values]
    expected = [
        [float32_code(np.float32(value / length) / np.float32(out.scale), out) for value in row]
        for row, length in zip(values, lengths, strict=True)
    ]
    assert run(op, graph, x).tolist() == expected
