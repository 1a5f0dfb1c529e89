"""Sums of packed rows, plain and on vectors, against the reference; codes packed and unpacked."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.kernels import dispatch

HUB_NODES, FEW_EDGES, HUB_EDGES = 41, 400, 10_000
PACKED_WIDTHS = [32, 34, 110, 128, 130, 146, 256]
"""A row is packed if it has at least 32 codes, and an even number of them."""


@pytest.fixture(params=[True, False], ids=["signed", "unsigned"])
def int4(request, make):
    return make(seed=4, bits=4, signed=request.param)


@pytest.fixture
def hub(int4):
    edges = int4.edges(HUB_NODES, FEW_EDGES + HUB_EDGES)
    edges[1, FEW_EDGES:] = 0
    return Graph(edges, HUB_NODES)


@pytest.mark.parametrize("width", [16, 30, *PACKED_WIDTHS])
def test_sum(vectors, int4, agree, hub, width, extreme):
    source = int4.grid()
    for scale in (60.0, 3000.0):  # rows of few edges, then the hub, spread over the grid
        op = int4.op("sum", [("node", width, source)], width, int4.grid(scale=source.scale * scale))
        agree(op, hub, extreme(int4, source, width))


@pytest.mark.parametrize("width", [16, 30, *PACKED_WIDTHS])
def test_weighted_sum(vectors, int4, agree, hub, width, extreme):
    source, weights, message = int4.grid(), int4.grid(), int4.grid()
    inputs = [("edge", 1, weights), ("node", width, source)]
    for scale in (60.0, 3000.0):
        target = int4.grid(scale=message.scale * scale)
        op = int4.op("weighted_sum", inputs, width, target, grids={"message_grid": message})
        agree(op, hub, int4.codes(weights, FEW_EDGES + HUB_EDGES, 1), extreme(int4, source, width))


@pytest.mark.parametrize("width", PACKED_WIDTHS)
def test_sums_end_with_a_multiplier_and_an_addend_of_every_column(vectors, int4, agree, hub, width):
    source, weights, message, ends = int4.grid(), int4.grid(), int4.grid(), int4.columns(width)
    rows, target = ("node", width, source), int4.grid(scale=source.scale * 60)
    x, about = int4.codes(source, HUB_NODES, width), {"row_scale": "inverse_sqrt_degree"}
    assert len(np.unique(agree(int4.op("sum", [rows], width, target, tensors=ends, **about), hub, x))) > 3
    parts, target = {"tensors": ends, "grids": {"message_grid": message}}, int4.grid(scale=message.scale * 9)
    op = int4.op("weighted_sum", [("edge", 1, weights), rows], width, target, **parts)
    assert len(np.unique(agree(op, hub, int4.codes(weights, FEW_EDGES + HUB_EDGES, 1), x))) > 3


def test_few_bits_of_weights_have_small_tables(vectors, make, agree, extreme):
    maker = make(seed=4, bits=2)
    edges = Graph(maker.edges(HUB_NODES, FEW_EDGES), HUB_NODES)
    weights, source, message = maker.grid(), maker.grid(), maker.grid()
    inputs, grids = [("edge", 1, weights), ("node", 64, source)], {"message_grid": message}
    op = maker.op("weighted_sum", inputs, 64, maker.grid(scale=message.scale * 9), grids=grids)
    agree(op, edges, maker.codes(weights, FEW_EDGES, 1), extreme(maker, source, 64))


@pytest.mark.parametrize("width", PACKED_WIDTHS)
def test_packed_codes_come_back(vectors, int4, width):
    codes = int4.rng.integers(0, 16, (5, width), np.uint8)
    nibbles, unpacked = np.empty((5, width // 2), np.uint8), np.empty((5, width), np.uint8)
    dispatch.packing("pack")(codes, nibbles)
    np.testing.assert_array_equal(nibbles, codes[:, : width // 2] | codes[:, width // 2 :] << 4)
    dispatch.packing("unpack")(nibbles, unpacked)
    np.testing.assert_array_equal(unpacked, codes)
