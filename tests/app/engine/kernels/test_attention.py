"""Attention logits and softmax, plain and on vectors, against the reference."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

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
