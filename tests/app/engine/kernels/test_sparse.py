"""Ops on sparse rows give what they give on dense ones, and stay sparse while that is faster."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.kernels.sparse import SparseRows, compress
from app.engine.ops.compiled import COMPILED

WIDTHS = [3, 110, 1433]
NODES = 23
pytestmark = pytest.mark.filterwarnings("error")


def sparse_codes(maker, grid, width, share):
    """The same codes, dense and sparse, as the kernels store them."""
    zero = grid.zero_point - grid.qmin
    stored = maker.rng.random((NODES, width)) < share
    x = np.where(stored, maker.codes(grid, NODES, width) - grid.qmin, zero).astype(np.uint8)
    indptr = np.concatenate([[0], np.cumsum(stored.sum(1))])
    return x, SparseRows(width, zero, indptr, np.nonzero(stored)[1].astype(np.int32), x[stored])


@pytest.fixture
def assert_sparse_equals_dense(alone):
    def check(op, graph, *pairs, stays=True):
        got = alone(COMPILED, op, graph, *(sparse for _, sparse in pairs))
        assert isinstance(got, SparseRows) == stays
        expected = COMPILED.to_numpy(alone(COMPILED, op, graph, *(dense for dense, _ in pairs)), op.output)
        np.testing.assert_array_equal(COMPILED.to_numpy(got, op.output), expected)

    return check


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("share", "stays"), [(0.005, True), (0.5, False)])
@pytest.mark.parametrize("row_scale", ["inverse_sqrt_degree", "inverse_degree"])
def test_sum(assert_sparse_equals_dense, maker, graph, width, share, stays, row_scale):
    source = maker.grid()
    pair = sparse_codes(maker, source, width, share)
    op = maker.op("sum", [("node", width, source)], width, maker.grid(), row_scale=row_scale)
    assert_sparse_equals_dense(op, graph, pair, stays=stays)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("share", "stays"), [(0.005, True), (0.5, False)])
def test_add(assert_sparse_equals_dense, maker, graph, width, share, stays):
    left, right = maker.grid(), maker.grid()
    pairs = [sparse_codes(maker, grid, width, share) for grid in (left, right)]
    op = maker.op("add", [("node", width, left), ("node", width, right)], width, maker.grid(), weights=(1.3, 1.0))
    assert_sparse_equals_dense(op, graph, *pairs, stays=stays)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("share", "stays"), [(0.005, True), (0.5, False)])
def test_linear(assert_sparse_equals_dense, maker, graph, width, share, stays):
    source, weight_grid = maker.grid(), maker.grid()
    tensors = {
        "weight": maker.constant(weight_grid, 16, width),
        "bias": maker.rng.normal(size=16).astype(np.float32),
    }
    op = maker.op(
        "linear", [("node", width, source)], 16, maker.grid(), tensors=tensors,
        grids={"weight_grid": weight_grid}, row_scale="inverse_sqrt_degree",
    )  # fmt: skip
    assert_sparse_equals_dense(op, graph, sparse_codes(maker, source, width, share), stays=False)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("share", "stays"), [(0.005, True), (0.5, False)])
@pytest.mark.parametrize("keeps_zero", [True, False])
def test_lookup(assert_sparse_equals_dense, maker, graph, width, share, stays, keeps_zero):
    source, target = maker.grid(), maker.grid()
    table = maker.constant(target, 2**source.bits)
    other = target.qmin if target.zero_point > target.qmin else target.qmax
    table[source.zero_point - source.qmin] = target.zero_point if keeps_zero else other
    op = maker.op("lookup", [("node", width, source)], width, target, tensors={"table": table})
    assert_sparse_equals_dense(op, graph, sparse_codes(maker, source, width, share), stays=keeps_zero)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("share", "stays"), [(0.005, True), (0.5, False)])
@pytest.mark.parametrize("biased", [True, False])
def test_requantize(assert_sparse_equals_dense, maker, graph, width, share, stays, biased):
    source = maker.grid()
    tensors = {"bias": np.linspace(1, 9, width, dtype=np.float32)} if biased else {}
    op = maker.op("requantize", [("node", width, source)], width, maker.grid(), tensors=tensors)
    assert_sparse_equals_dense(op, graph, sparse_codes(maker, source, width, share), stays=not biased)


def test_quantize_of_sparse_rows(assert_sparse_equals_dense, maker, graph):
    x = np.where(maker.rng.random((NODES, 110)) < 0.05, maker.rng.normal(size=(NODES, 110)), 0)
    x = x.astype(np.float32)
    rows = compress(x)
    assert isinstance(rows, SparseRows)
    np.testing.assert_array_equal(rows.dense(), x)
    op = maker.op("quantize", [("node", 110, None)], 110, maker.grid())
    assert_sparse_equals_dense(op, graph, (x, rows))


def test_few_zeros_stay_dense(maker):
    x = maker.rng.normal(size=(NODES, 10)).astype(np.float32)
    assert compress(x) is x
