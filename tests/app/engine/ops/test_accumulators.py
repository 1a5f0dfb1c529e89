"""Linear layers of readouts: the compiled ones compute what the reference does, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph

NODES, WIDTH, HIDDEN = 50, 9, 4
BATCH = np.random.default_rng(1).choice([0, 1, 3, 4], NODES)
"""Not sorted, and no node is of graph 2 or 5."""


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(("bits", "signed"), [(8, True), (8, False), (4, True), (2, False)])
def test_both_backends_agree(make, both, bits, signed, pooled, coded, mean, by_column):
    maker = make(5, bits, signed)
    xs, ws, out = maker.grid(), maker.grid(1.0 if by_column else None), maker.grid(3.0) if coded else None
    graph = Graph(maker.edges(NODES, 90), NODES, BATCH, 6)
    rows = NODES if pooled else 6
    tensors = {"weight": maker.constant(ws, HIDDEN, WIDTH), "bias": maker.rng.normal(size=HIDDEN).astype(np.float32)}
    if by_column:
        tensors["scale"] = maker.rng.uniform(0.1, 2.0, HIDDEN).astype(np.float32)
    attributes = {"pooled": True} if pooled else {}
    if mean and pooled:
        attributes["row_scale"] = "inverse_degree"
    inputs = [("node" if pooled else "graph", WIDTH, xs), *([] if coded else [("graph", HIDDEN, None)])]
    given = [maker.codes(xs, rows, WIDTH), *([] if coded else [maker.rng.normal(size=(6, HIDDEN)).astype(np.float32)])]
    op = maker.op(
        "linear", inputs, HIDDEN, out, domain="graph", tensors=tensors, grids={"weight_grid": ws}, **attributes
    )
    expected, got = both(op, graph, *given)
    assert expected.dtype == got.dtype
    np.testing.assert_array_equal(got, expected)
