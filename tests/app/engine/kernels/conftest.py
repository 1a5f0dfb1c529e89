"""What tests of kernels share: grids of every kind, a graph, a hub, and kernels with and without vectors."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.kernels import dispatch
from app.engine.simd import vectors as simd

EVERY_GRID = [(bits, signed) for bits in (2, 4, 8) for signed in (True, False)]
NODES, EDGES = 23, 90
HUB_NODES, FEW_EDGES, HUB_EDGES = 41, 400, 10_000


@pytest.fixture(params=EVERY_GRID, ids=lambda entry: f"{'i' if entry[1] else 'u'}{entry[0]}")
def maker(request, make):
    """Makes operands of 2, 4 and 8 bits, signed and unsigned."""
    return make(seed=7, bits=request.param[0], signed=request.param[1])


@pytest.fixture
def graph(maker):
    """23 nodes and 90 edges."""
    return Graph(maker.edges(NODES, EDGES), NODES)


@pytest.fixture(
    params=[pytest.param(True, marks=pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")), False],
    ids=["vectors", "plain"],
)
def vectors(request, monkeypatch):
    """Runs a test with kernels on vectors and with plain ones."""
    monkeypatch.setattr(dispatch, "VECTORS", request.param)
    return request.param


@pytest.fixture
def int8(make):
    """Makes operands of 8 bits, signed."""
    return make(seed=3)


@pytest.fixture
def hub(int8):
    """41 nodes, one of them with 10,000 edges, the others with few or none."""
    edges = int8.edges(HUB_NODES, FEW_EDGES + HUB_EDGES)
    edges[1, FEW_EDGES:] = 0
    return Graph(edges, HUB_NODES)


@pytest.fixture
def extreme():
    """extreme(maker, grid, width): codes some of whose columns hold only the smallest or the largest code."""

    def codes(maker, grid, width):
        made = maker.codes(grid, HUB_NODES, width)
        made[:, ::5], made[:, 1::5] = grid.qmax, grid.qmin
        return made

    return codes


@pytest.fixture
def agree(both):
    """agree(op, graph, *inputs): asserts that kernels and reference give the same codes, and returns them."""

    def check(op, graph, *inputs, messages=False):
        expected, got = both(op, graph, *inputs, messages=messages)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
        return got

    return check
