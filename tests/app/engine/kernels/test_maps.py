"""Elementwise kernels, plain and on vectors, against the quantizer and the reference."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.kernels import plain as kernels
from app.engine.program.grid import Grid, quantize

WIDTHS = [1, 3, 16, 110, 1433]
VECTOR_WIDTHS = [16, 64, 110, 145]
NODES, HUB_NODES = 23, 41
pytestmark = pytest.mark.filterwarnings("error")


def test_epilogue_equals_the_quantizer():
    grid = Grid(1.0, -3, 8, True)
    ties = np.arange(-400, 400, dtype=np.float32) / 2
    values = np.concatenate([ties, np.float32([1e30, -1e30, np.inf, -np.inf, -0.0, 2**24 + 1, 8388609])])
    limits = grid.zero_point - grid.qmin, np.float32(grid.qmin + 3), np.float32(grid.qmax + 3)
    codes = np.empty(values.size, np.uint8)
    kernels.quantize(values, np.float32(1), *limits, codes)
    got = codes.astype(int) + grid.qmin
    expected = quantize(values, np.float32(1), grid.zero_point, grid.qmin, grid.qmax)
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(got)) > 200


@pytest.mark.parametrize("width", WIDTHS)
def test_quantize(maker, agree, graph, width):
    grid = maker.grid()
    x = (maker.rng.integers(-600, 600, (NODES, width)) * grid.scale / 2).astype(np.float32)
    agree(maker.op("quantize", [("node", width, None)], width, grid), graph, x)


@pytest.mark.parametrize("width", WIDTHS)
def test_lookup(maker, agree, graph, width):
    source, target = maker.grid(), maker.grid()
    table = maker.constant(target, 2**source.bits)
    op = maker.op("lookup", [("node", width, source)], width, target, tensors={"table": table})
    agree(op, graph, maker.codes(source, NODES, width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("biased", [True, False])
def test_requantize(maker, agree, graph, width, biased):
    source, target = maker.grid(), maker.grid()
    tensors = {"bias": maker.rng.normal(size=width).astype(np.float32)} if biased else {}
    op = maker.op("requantize", [("node", width, source)], width, target, tensors=tensors)
    agree(op, graph, maker.codes(source, NODES, width))


@pytest.mark.parametrize("width", WIDTHS)
def test_requantize_with_a_scale_per_feature(maker, agree, graph, width):
    source, target = maker.grid(), maker.grid()
    tensors = {role: maker.rng.normal(size=width).astype(np.float32) for role in ("scale", "bias")}
    op = maker.op("requantize", [("node", width, source)], width, target, tensors=tensors)
    agree(op, graph, maker.codes(source, NODES, width))


@pytest.mark.parametrize("width", [1, 3, 8, 13, 16, 64, 110, 145])
@pytest.mark.parametrize("heads", [2, 3, 8])
def test_requantize_of_the_mean_of_heads(vectors, maker, agree, graph, width, heads):
    source, target = maker.grid(), maker.grid()
    tensors = {role: maker.rng.normal(size=width).astype(np.float32) for role in ("scale", "bias")}
    for some in ({}, {"bias": tensors["bias"]}, tensors):
        inputs = [("node", heads * width, source)]
        op = maker.op("requantize", inputs, width, target, tensors=some, heads=heads)
        agree(op, graph, maker.codes(source, NODES, heads * width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("weights", [{}, {"weights": (1.3, 0.5)}])
def test_add(maker, agree, graph, width, weights):
    left, right = maker.grid(), maker.grid()
    operands = [("node", width, left), ("node", width, right)]
    op = maker.op("add", operands, width, maker.grid(), **weights)
    agree(op, graph, maker.codes(left, NODES, width), maker.codes(right, NODES, width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("weights", [{}, {"weights": (1.3, 0.5, -2.0, 0.1)}])
def test_add_of_four(maker, agree, graph, width, weights):
    grids = [maker.grid() for _ in range(4)]
    op = maker.op("add", [("node", width, grid) for grid in grids], width, maker.grid(), **weights)
    agree(op, graph, *(maker.codes(grid, NODES, width) for grid in grids))


def test_dequantize(maker, agree, graph):
    grid = maker.grid()
    codes = maker.codes(grid, NODES, 6)
    got = agree(maker.op("dequantize", [("node", 6, grid)], 6, None), graph, codes)
    np.testing.assert_array_equal(got, (codes - grid.zero_point).astype(np.float32) * np.float32(grid.scale))


@pytest.mark.parametrize("function", ["log_softmax", "softmax", "sigmoid"])
@pytest.mark.parametrize("width", [1, 7, 110])
@pytest.mark.parametrize("nodes", [0, 1, NODES])
def test_dequantize_with_a_function(vectors, maker, agree, graph, function, width, nodes):
    grid = maker.grid()
    agree(
        maker.op("dequantize", [("node", width, grid)], width, None, function=function),
        Graph(np.zeros((2, 0), int), nodes),
        maker.codes(grid, nodes, width),
    )


@pytest.mark.parametrize("width", VECTOR_WIDTHS)
def test_quantize_of_extremes_and_ties(vectors, int8, agree, hub, width):
    target = int8.grid()
    x = (int8.rng.normal(0, 300, (HUB_NODES, width)) * target.scale).astype(np.float32)
    x[0, :4] = np.float32([1e30, -1e30, 2.5 * target.scale, -0.5 * target.scale])
    agree(int8.op("quantize", [("node", width, None)], width, target), hub, x)


@pytest.mark.parametrize("width", VECTOR_WIDTHS)
def test_dequantize_of_extremes(vectors, int8, agree, hub, width, extreme):
    source = int8.grid()
    agree(int8.op("dequantize", [("node", width, source)], width, None), hub, extreme(int8, source, width))


@pytest.mark.parametrize("width", VECTOR_WIDTHS)
@pytest.mark.parametrize("role", ["scale", "bias"])
def test_requantize_of_extremes(vectors, int8, agree, hub, width, role, extreme):
    source, target = int8.grid(), int8.grid()
    tensors = {role: int8.rng.normal(size=width).astype(np.float32) * 1000}
    op = int8.op("requantize", [("node", width, source)], width, target, tensors=tensors)
    agree(op, hub, extreme(int8, source, width))


@pytest.mark.parametrize("width", VECTOR_WIDTHS)
def test_add_of_extremes(vectors, int8, agree, hub, width, extreme):
    left, right = int8.grid(), int8.grid()
    rows = [("node", width, left), ("node", width, right)]
    op = int8.op("add", rows, width, int8.grid(), weights=(1.3, -0.5))
    agree(op, hub, extreme(int8, left, width), extreme(int8, right, width))


@pytest.mark.parametrize("bent", [False, True])
def test_a_table_is_computed_only_where_that_gives_every_entry(vectors, int8, agree, hub, bent):
    source, target = int8.grid(), int8.grid()
    values = (np.arange(source.qmin, source.qmax + 1) - source.zero_point) * source.scale / target.scale
    table = np.clip(np.rint(values) + target.zero_point, target.qmin, target.qmax).astype(np.int8)
    table[7] += np.int8(bent) * (1 if table[7] < 0 else -1)
    op = int8.op("lookup", [("node", 64, source)], 64, target, tensors={"table": table})
    agree(op, hub, np.resize(np.arange(source.qmin, source.qmax + 1), (HUB_NODES, 64)))
