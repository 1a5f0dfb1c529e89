"""Sums of rows and of messages over edges, plain and on vectors, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph
from app.engine.ops.compiled import COMPILED
from app.engine.ops.reference import REFERENCE
from app.engine.program.grid import Grid
from app.engine.program.model import Value

WIDTHS = [1, 3, 16, 110, 1433]
VECTOR_WIDTHS = [3, 7, 8, 16, 31, 40, 110, 145, 146, 209, 1433]
NODES, EDGES, HUB_NODES = 23, 90, 41
FEW_EDGES, HUB_EDGES = 400, 10_000
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_sqrt_degree"}, {"row_scale": "inverse_degree"}])
def test_sum(maker, agree, graph, width, self_loops, row_scale):
    source = maker.grid()
    target = maker.grid(scale=source.scale * 4)
    op = maker.op("sum", [("node", width, source)], width, target, self_loops=self_loops, **row_scale)
    agree(op, graph, maker.codes(source, NODES, width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_degree"}])
def test_pool(maker, agree, width, row_scale):
    source = maker.grid()
    graphs = Graph(maker.edges(NODES, EDGES), NODES, maker.rng.integers(0, 5, NODES), 7)
    op = maker.op("pool", [("node", width, source)], width, maker.grid(), "graph", **row_scale)
    assert agree(op, graphs, maker.codes(source, NODES, width)).shape == (7, width)


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize(("heads", "channels"), [(1, 1), (1, 110), (8, 1), (8, 16), (3, 1433)])
def test_weighted_sum(maker, agree, graph, heads, channels, coded, self_loops):
    num_edges = graph.adjacency(self_loops=self_loops).num_edges
    weight_grid = maker.grid(scale=0.125) if coded else None
    floats = maker.rng.choice([0.5, 0.25, 0.37], (num_edges, heads)).astype(np.float32)
    weights = maker.codes(weight_grid, num_edges, heads) if coded else floats
    source, message = maker.grid(scale=0.5), maker.grid(scale=0.25)
    width = heads * channels
    op = maker.op(
        "weighted_sum", [("edge", heads, weight_grid), ("node", width, source)], width, maker.grid(scale=0.5),
        grids={"message_grid": message}, self_loops=self_loops,
    )  # fmt: skip
    x = maker.codes(source, NODES, width)
    agree(op, graph, weights, x)
    agree(op, graph, weights, x, messages=True)


@pytest.fixture(params=["qmin", "qmax"])
def extreme_hub(request, maker):
    """A grid, equal codes of it and a graph: 10,000 edges into one node, the zero point at the other end."""
    source = maker.grid()
    zero_point = source.qmax if request.param == "qmin" else source.qmin
    source = Grid(0.5, zero_point, source.bits, source.signed)
    graph = Graph(np.stack([np.arange(10_000) % 50, np.zeros(10_000, int)]), 50)
    return source, np.full((50, 3), getattr(source, request.param)), graph


def hub_target(maker, source):
    """A grid on which sums at the hub are not clamped."""
    return maker.grid(scale=5_000 * 2.0**source.bits / 7, zero_point=0)


def test_sum_of_extreme_codes_at_a_hub(maker, agree, extreme_hub):
    source, x, graph = extreme_hub
    target = hub_target(maker, source)
    sums = agree(maker.op("sum", [("node", 3, source)], 3, target), graph, x)
    assert (sums[0] != 0).all() or not target.signed
    assert (sums[1:] == 0).all()


def test_weighted_sum_of_extreme_codes_at_a_hub(maker, agree, extreme_hub):
    source, x, graph = extreme_hub
    inputs, grids = [("edge", 1, None), ("node", 3, source)], {"message_grid": source}
    op = maker.op("weighted_sum", inputs, 3, hub_target(maker, source), grids=grids)
    agree(op, graph, np.ones((10_000, 1), np.float32), x)


@pytest.mark.parametrize("width", VECTOR_WIDTHS)
def test_sum_of_extremes(vectors, int8, agree, hub, width, extreme):
    for scale in (60.0, 3000.0):  # rows of few edges, then the hub, spread over the grid
        source = int8.grid()
        target = int8.grid(scale=source.scale * scale)
        op = int8.op("sum", [("node", width, source)], width, target)
        agree(op, hub, extreme(int8, source, width))


@pytest.mark.parametrize(
    ("heads", "channels"), [(1, width) for width in VECTOR_WIDTHS] + [(8, 16), (3, 10), (8, 3), (2, 70)]
)
def test_weighted_sum_of_extremes(vectors, int8, agree, hub, heads, channels, extreme):
    weights, source, message = int8.grid(), int8.grid(), int8.grid()
    width = heads * channels
    target = int8.grid(scale=message.scale * 500)
    inputs = [("edge", heads, weights), ("node", width, source)]
    op = int8.op("weighted_sum", inputs, width, target, grids={"message_grid": message})
    codes = int8.codes(weights, FEW_EDGES + HUB_EDGES, heads)
    agree(op, hub, codes, extreme(int8, source, width))


@pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_sqrt_degree"}])
@pytest.mark.parametrize("width", VECTOR_WIDTHS)
def test_a_sum_ends_with_a_multiplier_and_an_addend_of_every_column(vectors, int8, agree, hub, width, row_scale):
    source = int8.grid()
    tensors, target = int8.columns(width), int8.grid(scale=source.scale * 60)
    op = int8.op("sum", [("node", width, source)], width, target, tensors=tensors, **row_scale)
    assert len(np.unique(agree(op, hub, int8.codes(source, HUB_NODES, width)))) > 9


@pytest.mark.parametrize(
    ("heads", "channels"), [(1, 3), (1, 40), (1, 110), (1, 209), (4, 16), (8, 16), (8, 18), (3, 10), (2, 70)]
)
def test_a_weighted_sum_does_so_too(vectors, int8, agree, hub, heads, channels):
    weights, source, message = int8.grid(), int8.grid(), int8.grid()
    inputs, width = [("edge", heads, weights), ("node", heads * channels, source)], heads * channels
    parts = {"tensors": int8.columns(width), "grids": {"message_grid": message}}
    op = int8.op("weighted_sum", inputs, width, int8.grid(scale=message.scale * 300), **parts)
    operands = int8.codes(weights, FEW_EDGES + HUB_EDGES, heads), int8.codes(source, HUB_NODES, width)
    assert len(np.unique(agree(op, hub, *operands))) > 9


@pytest.mark.parametrize("width", [8, 40])
def test_given_messages_are_added_up_with_the_same_end(int8, hub, width):
    message = int8.grid()
    inputs = [("edge", 1, int8.grid()), ("node", width, int8.grid())]
    parts = {"tensors": int8.columns(width), "grids": {"message_grid": message}}
    op = int8.op("weighted_sum", inputs, width, int8.grid(scale=message.scale * 60), **parts)
    codes, declared = int8.codes(message, FEW_EDGES + HUB_EDGES, width), Value("message", "edge", width, message)
    expected, got = (
        backend.to_numpy(backend.add_up(op)(hub, backend.from_numpy(codes, declared)), op.output)
        for backend in (REFERENCE, COMPILED)
    )
    np.testing.assert_array_equal(got, expected)


def test_messages_beyond_an_i32_are_left_to_the_plain_kernel(vectors, int8, agree, hub, extreme):
    """A message 2^31 times its largest code must be that code, of the right sign."""
    weights, source, message = int8.grid(), int8.grid(), int8.grid(scale=1e-12)
    inputs, target = [("edge", 1, weights), ("node", 64, source)], int8.grid(scale=message.scale * 99)
    op = int8.op("weighted_sum", inputs, 64, target, grids={"message_grid": message})
    agree(op, hub, int8.codes(weights, FEW_EDGES + HUB_EDGES, 1), extreme(int8, source, 64))
