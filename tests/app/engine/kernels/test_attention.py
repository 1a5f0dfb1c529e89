"""Attention logits and softmax, plain and on vectors, against the reference."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.kernels import dispatch
from app.engine.kernels.common import INT32

NODES = 23
HEADS = [(1, 1), (1, 110), (8, 3), (8, 16), (13, 5), (40, 2)]
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(("heads", "channels"), HEADS)
def test_attention_logits(maker, agree, graph, heads, channels):
    source, attention = maker.grid(scale=0.5), maker.grid(scale=0.5)
    tensors = {role: maker.constant(attention, heads, channels) for role in ("source", "target")}
    op = maker.op(
        "attention_logits", [("node", heads * channels, source)], heads, maker.grid(scale=0.25 * channels**0.5), "edge",
        tensors=tensors, grids={"attention_grid": attention}, self_loops=True,
    )  # fmt: skip
    agree(op, graph, maker.codes(source, NODES, heads * channels))


@pytest.mark.parametrize(("heads", "channels"), [*HEADS, (2, 8), (3, 13), (1, 17), (2, 145)])
@pytest.mark.parametrize("self_loops", [True, False])
def test_dynamic_attention_logits(vectors, maker, agree, graph, heads, channels, self_loops):
    """Of rows that are all different, and of the same rows on both ends."""
    source, attention, width = maker.grid(scale=0.5), maker.grid(scale=0.5), heads * channels
    op = maker.op(
        "dynamic_attention_logits", [("node", width, source)] * 2, heads, maker.grid(scale=0.5 * channels**0.5), "edge",
        tensors={"attention": maker.constant(attention, heads, channels)}, grids={"attention_grid": attention},
        self_loops=self_loops, negative_slope=0.2,
    )  # fmt: skip
    x = maker.codes(source, NODES, width)
    agree(op, graph, x, maker.codes(source, NODES, width))
    agree(op, graph, x, x)


@pytest.mark.parametrize("end", ["qmin", "qmax"])
@pytest.mark.parametrize("channels", [3, 20_000])
def test_dynamic_attention_logits_of_extremes(vectors, make, agree, end, channels):
    """Sums that leave int32, and multipliers that leave float32."""
    maker = make(seed=1)
    zero = 127 if end == "qmin" else -128
    source, attention = maker.grid(1e11, zero), maker.grid(1e11, zero)
    code = getattr(source, end)
    op = maker.op(
        "dynamic_attention_logits", [("node", channels, source)] * 2, 1, maker.grid(1e-12, 0), "edge",
        tensors={"attention": np.full((1, channels), code, np.int8)}, grids={"attention_grid": attention},
        self_loops=True, negative_slope=1e11,
    )  # fmt: skip
    rows = np.full((2, channels), code)
    got = agree(op, Graph(np.zeros((2, 0), int), 2), rows, rows)
    assert got.tolist() == [[127], [127]]


@pytest.mark.parametrize("heads", sorted({heads for heads, _ in HEADS}))
def test_softmax_sums_to_one_over_the_edges_into_a_node(maker, agree, graph, heads):
    edges, logits = graph.adjacency(self_loops=True), maker.grid(scale=0.25)
    op = maker.op("edge_softmax", [("edge", heads, logits)], heads, None, "edge", negative_slope=0.2, self_loops=True)
    got = agree(op, graph, maker.codes(logits, edges.num_edges, heads))
    assert got.dtype == np.float32
    totals = np.zeros((NODES, heads))
    np.add.at(totals, edges.targets, got)
    np.testing.assert_allclose(totals, 1, rtol=1e-5)


def test_attention_of_many_heads_takes_memory_in_proportion():
    vectors = np.ones((2, 5000, 1), np.int16)
    tracemalloc.start()
    try:
        dispatch.project(vectors, 3, largest=255, scores=INT32)
        assert tracemalloc.get_traced_memory()[1] < 100 * vectors.nbytes
    finally:
        tracemalloc.stop()
