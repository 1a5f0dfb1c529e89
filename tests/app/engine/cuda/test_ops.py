"""Ops alone on a device, where programs do not reach: extreme weights and sizes, and nothing at all."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine.graph import Graph

pytestmark = pytest.mark.gpu
NODES = 9
NONE = Graph(np.zeros((2, 0), int), NODES)


@pytest.fixture(params=[(2, True), (8, True), (8, False)])
def maker(request, make):
    return make(7, *request.param)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(0, 5, 3), (1, 1, 1), (70, 66, 131)])
def test_linear_with_weights_on_both_sides_of_any_zero_point(maker, both_there, rows, inner, columns):
    seen = set()
    for zero_point in (None, "first", "last"):
        grid = maker.grid()
        ends = {"first": grid.qmin, "last": grid.qmax, None: None}
        weight_grid = maker.grid(zero_point=ends[zero_point])
        tensors = {
            "weight": maker.constant(weight_grid, columns, inner),
            "bias": maker.rng.normal(size=columns).astype(np.float32),
        }
        middle = grid.qmin + 2 ** (maker.bits - 1)
        out = maker.grid(grid.scale * weight_grid.scale * inner * 4.0 ** (maker.bits - 3), middle)
        parts = {"tensors": tensors, "grids": {"weight_grid": weight_grid}}
        op = maker.op("linear", [("node", inner, grid)], columns, out, **parts)
        graph = Graph(np.zeros((2, 0), int), rows)
        expected, got = both_there(op, graph, maker.codes(grid, rows, inner))
        np.testing.assert_array_equal(got, expected)
        seen |= set(got.flat)
    assert rows < 2 or len(seen) > 1


def test_a_sum_that_leaves_int32(make, both_there):
    """All codes at one end: 33,100 products of 255 and 255."""
    maker, inner = make(1, 8, False), 33_100
    grid, weight_grid = maker.grid(1.0, 0), maker.grid(1.0, 0)
    tensors = {"weight": np.full((1, inner), 255, np.uint8)}
    out = maker.grid(2.0**24, 0)
    op = maker.op("linear", [("node", inner, grid)], 1, out, tensors=tensors, grids={"weight_grid": weight_grid})
    expected, got = both_there(op, Graph(np.zeros((2, 0), int), 1), np.full((1, inner), 255))
    assert expected.tolist() == got.tolist() == [[128]]


@pytest.mark.parametrize("kind", ["sum", "neighbour_max", "pool"])
@pytest.mark.parametrize("width", [1, 130])
def test_no_edges_and_no_nodes(maker, both_there, kind, width):
    grid = maker.grid()
    for nodes in (0, NODES):
        graph = Graph(np.zeros((2, 0), int), nodes, np.full(nodes, 1), 3)
        domain, out = "graph" if kind == "pool" else "node", grid if kind == "neighbour_max" else maker.grid()
        op = maker.op(kind, [("node", width, grid)], width, out, domain)
        expected, got = both_there(op, graph, maker.codes(grid, nodes, width))
        np.testing.assert_array_equal(got, expected)


@pytest.fixture
def started(monkeypatch):
    """Names of the kernels that were started, and whether rows were cut and packed."""
    from app.engine.cuda import gathers

    seen, start = [], gathers.by_row

    def by_row(kernel, *arguments, **constants):
        seen.append((kernel.fn.__name__, constants.get("SPLIT"), constants.get("PACKED")))
        start(kernel, *arguments, **constants)

    monkeypatch.setattr(gathers, "by_row", by_row)
    return seen


def with_hubs(maker):
    """Two nodes of more edges than a piece has, one of exactly as many, one of none; the others have a few."""
    targets = np.repeat(np.arange(NODES), [3, 1030, 5, 512, 0, 4, 513, 1, 2])
    sources = maker.rng.integers(0, NODES, targets.size)
    return np.stack([sources, targets])[:, maker.rng.permutation(targets.size)]


@pytest.mark.parametrize(("width", "cut"), [(3, True), (35, True), (131, False)])
def test_rows_of_very_many_edges_are_cut_and_small_codes_packed(maker, both_there, started, width, cut):
    grid, graph = maker.grid(), Graph(with_hubs(maker) if cut else maker.edges(NODES, 40), NODES)
    packed, x = width > 32 and maker.bits <= 4, maker.codes(grid, NODES, width)
    sums, means = (maker.grid(grid.scale * factor, grid.qmin + 2 ** (maker.bits - 1)) for factor in (100, 0.7))
    ops = [
        maker.op("sum", [("node", width, grid)], width, sums),
        maker.op("sum", [("node", width, grid)], width, means, row_scale="inverse_degree", self_loops=True),
        maker.op("neighbour_max", [("node", width, grid)], width, grid),
    ]
    for op in ops:
        expected, got = both_there(op, graph, x)
        np.testing.assert_array_equal(got, expected)
        assert len(np.unique(got)) > 1
    kernels = ("sum_rows", "sum_rows", "max_rows")
    joins = [("join", None, None)] * cut
    assert started == [each for name in kernels for each in ((name, cut, packed), *joins)]


@pytest.mark.parametrize("heads", [1, 3])
def test_messages_of_very_many_edges_are_cut_and_small_codes_packed(maker, both_there, started, heads):
    grid, weights, graph, width = maker.grid(), maker.grid(), Graph(with_hubs(maker), NODES), 36
    messages = {"message_grid": maker.grid(grid.scale * weights.scale * 9)}
    out, inputs = maker.grid(messages["message_grid"].scale * 40), [("edge", heads, weights), ("node", width, grid)]
    op = maker.op("weighted_sum", inputs, width, out, grids=messages, self_loops=False)
    expected, got = both_there(op, graph, maker.codes(weights, 2070, heads), maker.codes(grid, NODES, width))
    np.testing.assert_array_equal(got, expected)
    assert started == [("weighted_sum", True, maker.bits <= 4), ("join", None, None)]


@pytest.mark.parametrize(("width", "heads", "cut"), [(5, 1, False), (36, 3, True), (131, 1, False)])
def test_sums_end_with_a_multiplier_and_an_addend_of_every_column(maker, both_there, width, heads, cut):
    grid, weights, message = maker.grid(), maker.grid(), maker.grid()
    graph = Graph(with_hubs(maker) if cut else maker.edges(NODES, 40), NODES)
    x, w = maker.codes(grid, NODES, width), maker.codes(weights, graph.num_edges, heads)
    rows, ends = ("node", width, grid), maker.columns(width)
    about, parts = {"row_scale": "inverse_sqrt_degree"}, {"tensors": ends, "grids": {"message_grid": message}}
    added = maker.op("sum", [rows], width, maker.grid(grid.scale * 9), tensors=ends, **about)
    weighted = maker.op("weighted_sum", [("edge", heads, weights), rows], width, maker.grid(), **parts)
    for op, operands in ((added, (x,)), (weighted, (w, x))):
        expected, got = both_there(op, graph, *operands)
        np.testing.assert_array_equal(got, expected)
        assert len(np.unique(got)) > 1


def test_a_large_graph_is_pooled_in_pieces(maker, both_there, started):
    grid, nodes = maker.grid(), 700
    graph = Graph(np.zeros((2, 0), int), nodes, np.arange(nodes) // 600, 3)
    for about in ({}, {"row_scale": "inverse_degree"}):
        op = maker.op("pool", [("node", 35, grid)], 35, maker.grid(grid.scale * 9), "graph", **about)
        expected, got = both_there(op, graph, maker.codes(grid, nodes, 35))
        np.testing.assert_array_equal(got, expected)
    assert started == 2 * [("sum_rows", True, False), ("join", None, None)], "each row is read once: none is packed"


@pytest.mark.parametrize("heads", [1, 2])
def test_weighted_sum(maker, both_there, heads):
    graph, grid, weights = Graph(maker.edges(NODES, 90), NODES), maker.grid(), maker.grid()
    messages = {"message_grid": maker.grid(grid.scale * weights.scale * 9)}
    out = maker.grid(messages["message_grid"].scale * 4)
    inputs = [("edge", heads, weights), ("node", 6, grid)]
    op = maker.op("weighted_sum", inputs, 6, out, grids=messages, self_loops=False)
    expected, got = both_there(op, graph, maker.codes(weights, 90, heads), maker.codes(grid, NODES, 6))
    np.testing.assert_array_equal(got, expected)


def test_softmax_adds_in_the_order_of_edges(make, both_there):
    """The coefficients are float32: another order would differ in the last bit."""
    maker = make(3)
    grid, graph = maker.grid(0.07), Graph(maker.edges(NODES, 300), NODES)
    op = maker.op("edge_softmax", [("edge", 3, grid)], 3, None, "edge", negative_slope=0.2)
    codes = maker.codes(grid, 300, 3)
    expected, got = both_there(op, graph, codes)
    np.testing.assert_array_equal(got, expected)
    backwards = both_there(op, graph, codes[::-1].copy())[1]
    assert not np.array_equal(np.sort(backwards, 0), np.sort(got, 0)) or len(np.unique(codes)) == 1


@pytest.mark.parametrize("inputs", [2, 3])
def test_add(maker, both_there, inputs):
    grids = [maker.grid() for _ in range(inputs)]
    operands = [("node", 5, grid) for grid in grids]
    op = maker.op("add", operands, 5, maker.grid(), weights=tuple([1.25, -1.0, 0.5][:inputs]))
    expected, got = both_there(op, NONE, *(maker.codes(grid, NODES, 5) for grid in grids))
    np.testing.assert_array_equal(got, expected)


def test_embedding(maker, both_there, there):
    out = maker.grid()
    op = maker.op("embedding", [("node", 1, None)], 11, out, tensors={"table": maker.constant(out, 28, 11)})
    expected, got = both_there(op, NONE, maker.rng.integers(0, 28, (NODES, 1)).astype(np.float32))
    np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="expected whole numbers from 0 to 27, got 28"):
        there(op, NONE, np.full((NODES, 1), 28, np.float32))


@pytest.mark.parametrize("rows", [0, 1, 70])
@pytest.mark.parametrize("about", [{}, {"length": True}])
def test_normalize_rows(maker, both_there, rows, about):
    grid, width = maker.grid(), 37
    tensors = {} if about else {role: maker.rng.normal(size=width).astype(np.float32) for role in ("scale", "bias")}
    op = maker.op(
        "normalize", [("node", width, grid)], width, maker.grid(0.02), tensors=tensors, over="row", eps=1e-5, **about
    )
    x = maker.codes(grid, rows, width)
    x[: rows // 7] = grid.zero_point
    expected, got = both_there(op, Graph(np.zeros((2, 0), int), rows), x)
    np.testing.assert_array_equal(got, expected)
    assert rows < 2 or len(np.unique(got)) > 1


@pytest.mark.parametrize(
    ("about", "width"), [({}, 1), ({}, 131), ({"per_column": True}, 37), ({"eps_beside": True}, 37)], ids=str
)
@pytest.mark.parametrize(("over", "graphs"), [("all", 3), ("graph", 1), ("graph", 3)])
def test_normalize_groups(make, both_there, over, graphs, about, width):
    """Of more rows than a piece has, of one row, and of none."""
    maker, nodes = make(2), 700
    grid, batch = maker.grid(), np.minimum(np.arange(nodes), 1)[::-1] * 2
    tensors = {role: maker.rng.normal(1, 0.5, width).astype(np.float32) for role in ("scale", "bias", "mean_scale")}
    inputs, out = [("node", width, grid)], maker.grid(0.02)
    op = maker.op("normalize", inputs, width, out, tensors=tensors, over=over, eps=1e-2, **about)
    graph = Graph(np.zeros((2, 0), int), nodes, *((batch, graphs) if graphs > 1 else ()))
    expected, got = both_there(op, graph, maker.codes(grid, nodes, width))
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(got)) > 9


@pytest.mark.parametrize(("heads", "channels"), [(1, 35), (3, 13), (2, 40)])
def test_logits_of_two_rows_read_small_codes_packed(maker, both_there, monkeypatch, heads, channels):
    from app.engine.cuda import edges

    width, start, seen = heads * channels, edges.by_entry, []
    monkeypatch.setattr(edges, "by_entry", lambda *a, **named: seen.append(named["PACKED"]) or start(*a, **named))
    middle = maker.grid().qmin + 2 ** (maker.bits - 1)
    grid, attention, out = (maker.grid(scale, middle) for scale in (0.5, 0.5, 4.0**maker.bits / 32))
    op = maker.op(
        "dynamic_attention_logits", [("node", width, grid)] * 2, heads, out, "edge",
        tensors={"attention": maker.constant(attention, heads, channels)}, grids={"attention_grid": attention},
        self_loops=False, negative_slope=0.2,
    )  # fmt: skip
    rows = maker.codes(grid, NODES, width), maker.codes(grid, NODES, width)
    for number, packed in ((40, maker.bits <= 4), (NODES, False)):
        expected, got = both_there(op, Graph(maker.edges(NODES, number), NODES), *rows)
        np.testing.assert_array_equal(got, expected)
        assert len(np.unique(got)) > 2
        assert seen.pop() == packed


def test_in_degree(make, both_there):
    graph = Graph(make(1).edges(NODES, 40), NODES)
    expected, got = both_there(make(1).op("in_degree", [], 1, None), graph)
    np.testing.assert_array_equal(got, expected)
