"""Accumulators are as wide as the largest sum that weights and graph allow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from app.engine import Executable
from app.engine.graph import Graph
from app.engine.kernels import common
from app.engine.kernels.common import INT32, INT64, accumulator_of_products, accumulator_of_sums
from app.engine.kernels.sparse import SparseRows
from app.engine.ops.compiled import COMPILED
from app.engine.program.grid import Grid

NODES, WIDTH = 40, 60
BYTES = Grid(1.0, 0, 8, signed=False)
DEPTH = 100_000
"""Of a product whose extreme sums, 255 * 127 * DEPTH, are beyond int32."""

HUB = 2**31 // 255 + 2
"""Edges whose sum of codes 255 is beyond int32."""


@pytest.fixture
def of_every_code(make):
    """A small weight r_w, and its products with every row of codes 0..3."""
    weight = make(1).rng.integers(-9, 10, (5, 4)).astype(np.int16)
    return weight, np.array(list(itertools.product(range(4), repeat=4)))


@pytest.mark.parametrize("zero", [0, 2, 3])
def test_products_are_as_large_as_proved_and_no_larger(monkeypatch, of_every_code, zero):
    weight, codes = of_every_code
    largest = int(np.abs((codes - zero) @ weight.T).max())
    monkeypatch.setattr(common, "LARGEST_INT32", largest)
    assert accumulator_of_products(weight, zero, 3) == INT32
    monkeypatch.setattr(common, "LARGEST_INT32", largest - 1)
    assert accumulator_of_products(weight, zero, 3) == INT64


@pytest.mark.parametrize(("terms", "dtype"), [(0, INT32), (HUB - 2, INT32), (HUB, INT64)])
def test_sums_of_bytes_fit_up_to_8_million_terms(terms, dtype):
    assert accumulator_of_sums(terms, 255) == dtype


@pytest.mark.parametrize("bits", [8, 4])
def test_wide_accumulators_change_nothing_where_int32_would_do(monkeypatch, kind, make_program, x, edges, bits):
    """All kernels that add up, of dense, sparse and packed rows."""
    program = make_program(kind, WIDTH, hidden=32, bits=bits)
    expected = Executable(program).run(x, edges)
    monkeypatch.setattr(common, "LARGEST_INT32", 1)
    np.testing.assert_array_equal(Executable(program).run(x, edges), expected)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("stored", ["dense", "sparse"])
def test_a_product_beyond_int32(make, alone, stored, sign):
    """Codes 255 times weights 127; the scales of the result make it code 100."""
    total = 255 * 127 * DEPTH
    weights, target = Grid(1.0, 0, 8, signed=True), Grid(total / 100, 0, 8, signed=True)
    weight = np.full((2, DEPTH), sign * 127, np.int8)
    op = make().op(
        "linear", [("node", DEPTH, BYTES)], 2, target, tensors={"weight": weight}, grids={"weight_grid": weights}
    )
    rows = np.full((3, DEPTH), 255, np.uint8)
    if stored == "sparse":
        indptr, columns = np.arange(4) * DEPTH, np.tile(np.arange(DEPTH, dtype=np.int32), 3)
        rows = SparseRows(DEPTH, 0, indptr, columns, rows.ravel())
    codes = alone(COMPILED, op, Graph(np.empty((2, 0), int), 3), rows)
    np.testing.assert_array_equal(COMPILED.to_numpy(codes, op.output), sign * 100)


def test_attention_logits_beyond_int32(make, agree):
    """Each of the two scores fits int32, their sum does not."""
    channels, grid = 40_000, Grid(1.0, 0, 8, signed=True)
    target = Grid(2 * 255 * 127 * channels / 100, 0, 8, signed=True)
    vector = np.full((8, channels), 127, np.int8)
    op = make().op(
        "attention_logits", [("node", 8 * channels, BYTES)], 8, target, "edge",
        tensors={"source": vector, "target": vector}, grids={"attention_grid": grid}, self_loops=True,
    )  # fmt: skip
    logits = agree(op, Graph([[0], [1]], 2), np.full((2, 8 * channels), 255))
    np.testing.assert_array_equal(logits, 100)


@pytest.fixture(scope="module")
def hub():
    """Two nodes; so many edges from one to the other that a sum of codes leaves int32."""
    edges = np.zeros((2, HUB), np.int32)
    edges[1] = 1
    return Graph(edges, 2)


@pytest.mark.parametrize("kind", ["sum", "weighted_sum"])
def test_a_sum_over_neighbours_beyond_int32(make, alone, hub, kind):
    target = Grid(255 * HUB / 100, 0, 8, signed=True)
    inputs, parts, operands = [("node", 8, BYTES)], {}, [np.full((2, 8), 255, np.uint8)]
    if kind == "weighted_sum":
        inputs, parts = [("edge", 1, None), *inputs], {"grids": {"message_grid": BYTES}}
        operands = [np.ones((HUB, 1), np.float32), *operands]
    op = make().op(kind, inputs, 8, target, **parts)
    codes = COMPILED.to_numpy(alone(COMPILED, op, hub, *operands), op.output)
    np.testing.assert_array_equal(codes, [[0] * 8, [100] * 8])
