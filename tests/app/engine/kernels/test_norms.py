"""Normalised rows against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph

NODES = 23
SETTINGS = {
    "rows": {"over": "row"},
    "length": {"over": "row", "length": True},
    "graphs": {"over": "graph"},
    "columns of graphs": {"over": "graph", "per_column": True},
    "all": {"over": "all", "eps_beside": True},
    "columns of all": {"over": "all", "per_column": True},
}
pytestmark = pytest.mark.filterwarnings("error")


def op_of(maker, width, settings, roles=("scale", "bias", "mean_scale")):
    roles = () if settings.get("length") else roles
    tensors = {role: maker.rng.normal(1, 1, width).astype(np.float32) for role in roles}
    middle = 0 if maker.signed else 2 ** (maker.bits - 1)
    scale = 2.0 ** (-maker.bits if settings.get("length") else 3 - maker.bits)
    grids = maker.grid(), maker.grid(scale, middle)
    return maker.op("normalize", [("node", width, grids[0])], width, grids[1], tensors=tensors, eps=1e-5, **settings)


@pytest.mark.parametrize("width", [1, 5, 64])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_normalize(maker, agree, width, settings):
    """Graphs of any order of nodes, one of them empty."""
    batch = maker.rng.choice([0, 1, 3], NODES)
    op = op_of(maker, width, settings)
    codes = agree(op, Graph(maker.edges(NODES, 9), NODES, batch, 5), maker.codes(op.grid(0), NODES, width))
    assert width == 1 or len(np.unique(codes)) > 1


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_rows_that_are_all_alike_have_no_deviation(int8, agree, settings):
    """What is left is the bias; or, of length one, an equal share a column."""
    op = op_of(int8, 16, settings, roles=("bias",))
    alike = np.full((NODES, 16), op.grid(0).qmax, np.int64)
    codes = agree(op, Graph(int8.edges(NODES, 9), NODES), alike)
    assert (codes == codes[0]).all()
    if not settings.get("length"):
        out = op.grid("output")
        expected = np.clip(np.rint(op.tensors["bias"] / np.float32(out.scale)) + out.zero_point, out.qmin, out.qmax)
        np.testing.assert_array_equal(codes[0], expected)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_rows(int8, agree, settings):
    op = op_of(int8, 16, settings)
    agree(op, Graph(np.zeros((2, 0), int), 0), np.zeros((0, 16), np.int64))
