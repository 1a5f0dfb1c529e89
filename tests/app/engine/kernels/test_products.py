"""Products of codes and weights, plain and on vectors, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.kernels import products
from app.engine.program.grid import Grid
from app.engine.simd import dots
from app.engine.simd import vectors as simd

WIDTHS = [1, 3, 16, 110, 1433]
VECTOR_WIDTHS = [3, 7, 8, 16, 31, 110, 145, 146, 1433]
NODES, EDGES, GRAPHS, HUB_NODES = 23, 90, 7, 41

needs_vectors = pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("outputs", [1, 16])
@pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_sqrt_degree"}])
def test_linear(maker, agree, graph, width, outputs, row_scale):
    source, weight_grid = maker.grid(), maker.grid()
    target = maker.grid(scale=source.scale * weight_grid.scale * width**0.5 * 8)
    bias = (maker.rng.normal(size=outputs) * target.scale * 10).astype(np.float32)
    tensors = {"weight": maker.constant(weight_grid, outputs, width), "bias": bias}
    op = maker.op(
        "linear", [("node", width, source)], outputs, target,
        tensors=tensors, grids={"weight_grid": weight_grid}, **row_scale,
    )  # fmt: skip
    agree(op, graph, maker.codes(source, NODES, width))


@pytest.mark.parametrize("width", WIDTHS)
def test_linear_on_rows_of_graphs(maker, agree, width):
    source = maker.grid()
    graphs = Graph(maker.edges(NODES, EDGES), NODES, maker.rng.integers(0, 5, NODES), GRAPHS)
    op = maker.op(
        "linear", [("graph", width, source)], 3, maker.grid(scale=width * 9.0), "graph",
        tensors={"weight": maker.constant(source, 3, width)}, grids={"weight_grid": source},
    )  # fmt: skip
    agree(op, graphs, maker.codes(source, GRAPHS, width))


@pytest.mark.parametrize("width", VECTOR_WIDTHS)
@pytest.mark.parametrize("outputs", [1, 16, 40, 145])
def test_linear_of_extremes(vectors, int8, agree, hub, width, outputs, extreme):
    source, weight_grid = int8.grid(), int8.grid(zero_point=0)
    target = int8.grid(scale=source.scale * weight_grid.scale * width**0.5 * 60)
    weight = int8.constant(weight_grid, outputs, width)
    weight[::3] = -128
    tensors = {"weight": weight, "bias": (int8.rng.normal(size=outputs) * target.scale * 10).astype(np.float32)}
    op = int8.op("linear", [("node", width, source)], outputs, target, tensors=tensors,
                  grids={"weight_grid": weight_grid}, row_scale="inverse_sqrt_degree")  # fmt: skip
    agree(op, hub, extreme(int8, source, width))


@needs_vectors
@pytest.mark.parametrize("columns", [8, 16, 32, 64])
@pytest.mark.parametrize("how", dots.DOTS, ids=str)
def test_every_dot_multiplies_exactly(monkeypatch, int8, agree, hub, how, columns, extreme):
    monkeypatch.setattr(products, "WIDEST", columns)
    monkeypatch.setattr(products, "best_dot", lambda quads, largest: how)
    source, weight_grid = int8.grid(), int8.grid(zero_point=0)
    target = int8.grid(scale=source.scale * weight_grid.scale * 600)
    weight = int8.constant(weight_grid, 70, 145)
    weight = weight // 2 if how is dots.BYTES_DOT else weight
    op = int8.op("linear", [("node", 145, source)], 70, target, tensors={"weight": weight},
                  grids={"weight_grid": weight_grid})  # fmt: skip
    agree(op, hub, extreme(int8, source, 145))


@needs_vectors
@pytest.mark.parametrize("zero_point", [-128, 127])
def test_weights_that_int8_cannot_hold_are_sums(int8, agree, hub, zero_point, extreme):
    source, weight_grid = int8.grid(), Grid(0.5, zero_point, 8, True)
    target = int8.grid(scale=source.scale * weight_grid.scale * 60_000)
    weight = int8.constant(weight_grid, 21, 145)
    weight[:7], weight[7:14] = -128, 127
    op = int8.op("linear", [("node", 145, source)], 21, target, tensors={"weight": weight},
                  grids={"weight_grid": weight_grid})  # fmt: skip
    agree(op, hub, extreme(int8, source, 145))


def test_the_bound_on_bytes_is_sharp():
    """255 * (64 + 64) fits 16 bits, 255 * (64 + 65) does not, on either side of zero."""
    assert products.fits_bytes(np.int8([[64, 64, -64, -64]]), 255)
    assert not products.fits_bytes(np.int8([[64, 65, 0, 0]]), 255)
    assert not products.fits_bytes(np.int8([[0, 0, -64, -65]]), 255)
    assert products.fits_bytes(np.int8([[127, -128, 0, 127]]), 255)
    assert products.fits_bytes(np.int8([[127, 127, -128, -128]]), 127)


def test_weights_beyond_bytes_are_left_to_the_plain_kernel(vectors, int8, agree, hub):
    source, weight_grid = int8.grid(), int8.grid(zero_point=-100)
    weight = int8.constant(weight_grid, 16, 32)
    op = int8.op("linear", [("node", 32, source)], 16, int8.grid(scale=9.0), tensors={"weight": weight},
                  grids={"weight_grid": weight_grid})  # fmt: skip
    agree(op, hub, int8.codes(source, HUB_NODES, 32))
