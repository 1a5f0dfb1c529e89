"""Compiled kernels against the reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine import Executable
from app.engine.graph import Graph
from app.engine.kernels import plain as kernels
from app.engine.kernels.sparse import SparseRows, compress
from app.engine.ops.compiled import COMPILED
from app.engine.program.grid import Grid, quantize

WIDTHS = [1, 3, 16, 110, 1433]
NODES, EDGES = 23, 90

every_grid = [(bits, signed) for bits in (2, 4, 8) for signed in (True, False)]
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=every_grid, ids=lambda entry: f"{'i' if entry[1] else 'u'}{entry[0]}")
def maker(request, make):
    return make(seed=7, bits=request.param[0], signed=request.param[1])


@pytest.fixture
def graph(maker):
    return Graph(maker.edges(NODES, EDGES), NODES)


def assert_equal(results):
    expected, got = results
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


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
class TestEveryWidth:
    def test_quantize(self, maker, both, graph, width):
        grid = maker.grid()
        x = (maker.rng.integers(-600, 600, (NODES, width)) * grid.scale / 2).astype(np.float32)
        assert_equal(both(maker.op("quantize", [("node", width, None)], width, grid), graph, x))

    def test_lookup(self, maker, both, graph, width):
        source, target = maker.grid(), maker.grid()
        table = maker.constant(target, 2**source.bits)
        op = maker.op("lookup", [("node", width, source)], width, target, tensors={"table": table})
        assert_equal(both(op, graph, maker.codes(source, NODES, width)))

    @pytest.mark.parametrize("outputs", [1, 16])
    @pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_sqrt_degree"}])
    def test_linear(self, maker, both, graph, width, outputs, row_scale):
        source, weight_grid = maker.grid(), maker.grid()
        target = maker.grid(scale=source.scale * weight_grid.scale * width**0.5 * 8)
        bias = (maker.rng.normal(size=outputs) * target.scale * 10).astype(np.float32)
        tensors = {"weight": maker.constant(weight_grid, outputs, width), "bias": bias}
        op = maker.op(
            "linear", [("node", width, source)], outputs, target,
            tensors=tensors, grids={"weight_grid": weight_grid}, **row_scale,
        )  # fmt: skip
        assert_equal(both(op, graph, maker.codes(source, NODES, width)))

    @pytest.mark.parametrize("biased", [True, False])
    def test_requantize(self, maker, both, graph, width, biased):
        source, target = maker.grid(), maker.grid()
        tensors = {"bias": maker.rng.normal(size=width).astype(np.float32)} if biased else {}
        op = maker.op("requantize", [("node", width, source)], width, target, tensors=tensors)
        assert_equal(both(op, graph, maker.codes(source, NODES, width)))

    def test_requantize_with_a_scale_per_feature(self, maker, both, graph, width):
        source, target = maker.grid(), maker.grid()
        tensors = {role: maker.rng.normal(size=width).astype(np.float32) for role in ("scale", "bias")}
        op = maker.op("requantize", [("node", width, source)], width, target, tensors=tensors)
        assert_equal(both(op, graph, maker.codes(source, NODES, width)))

    @pytest.mark.parametrize("weights", [{}, {"weights": (1.3, 0.5, -2.0, 0.1)}])
    def test_add_of_four(self, maker, both, graph, width, weights):
        grids = [maker.grid() for _ in range(4)]
        op = maker.op("add", [("node", width, grid) for grid in grids], width, maker.grid(), **weights)
        assert_equal(both(op, graph, *(maker.codes(grid, NODES, width) for grid in grids)))

    @pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_degree"}])
    def test_pool_and_what_follows(self, maker, both, graph, width, row_scale):
        source = maker.grid()
        graphs = Graph(maker.edges(NODES, EDGES), NODES, maker.rng.integers(0, 5, NODES), 7)
        op = maker.op("pool", [("node", width, source)], width, maker.grid(), "graph", **row_scale)
        pooled = both(op, graphs, maker.codes(source, NODES, width))
        assert_equal(pooled)
        assert pooled[0].shape == (7, width)
        weight = maker.constant(source, 3, width)
        op = maker.op(
            "linear", [("graph", width, source)], 3, maker.grid(scale=width * 9.0), "graph",
            tensors={"weight": weight}, grids={"weight_grid": source},
        )  # fmt: skip
        assert_equal(both(op, graphs, maker.codes(source, 7, width)))

    @pytest.mark.parametrize("weights", [{}, {"weights": (1.3, 0.5)}])
    def test_add(self, maker, both, graph, width, weights):
        left, right = maker.grid(), maker.grid()
        operands = [("node", width, left), ("node", width, right)]
        op = maker.op("add", operands, width, maker.grid(), **weights)
        assert_equal(both(op, graph, maker.codes(left, NODES, width), maker.codes(right, NODES, width)))

    @pytest.mark.parametrize("self_loops", [True, False])
    @pytest.mark.parametrize("row_scale", [{}, {"row_scale": "inverse_sqrt_degree"}, {"row_scale": "inverse_degree"}])
    def test_sum(self, maker, both, graph, width, self_loops, row_scale):
        source = maker.grid()
        target = maker.grid(scale=source.scale * 4)
        op = maker.op("sum", [("node", width, source)], width, target, self_loops=self_loops, **row_scale)
        assert_equal(both(op, graph, maker.codes(source, NODES, width)))


def test_embedding(maker, both, graph):
    out = maker.grid()
    op = maker.op("embedding", [("node", 1, None)], 110, out, tensors={"table": maker.constant(out, 28, 110)})
    assert_equal(both(op, graph, maker.rng.integers(0, 28, (NODES, 1)).astype(np.float32)))


@pytest.mark.parametrize("self_loops", [True, False])
def test_edge_norm(maker, both, graph, self_loops):
    op = maker.op("edge_norm", [], 1, maker.grid(scale=0.01), "edge", self_loops=self_loops)
    assert_equal(both(op, graph))


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize(("heads", "channels"), [(1, 1), (1, 110), (8, 1), (8, 16), (3, 1433)])
def test_weighted_sum(maker, both, graph, heads, channels, coded, self_loops):
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
    assert_equal(both(op, graph, weights, x))
    assert_equal(both(op, graph, weights, x, messages=True))


@pytest.mark.parametrize(("heads", "channels"), [(1, 1), (1, 110), (8, 3), (8, 16), (13, 5), (40, 2)])
def test_attention(maker, both, graph, heads, channels):
    source, attention = maker.grid(scale=0.5), maker.grid(scale=0.5)
    tensors = {role: maker.constant(attention, heads, channels) for role in ("source", "target")}
    logits = maker.grid(scale=0.25 * channels**0.5)
    op = maker.op(
        "attention_logits", [("node", heads * channels, source)], heads, logits, "edge",
        tensors=tensors, grids={"attention_grid": attention}, self_loops=True,
    )  # fmt: skip
    codes = both(op, graph, maker.codes(source, NODES, heads * channels))
    assert_equal(codes)
    softmax = maker.op(
        "edge_softmax", [("edge", heads, logits)], heads, None, "edge", negative_slope=0.2, self_loops=True
    )
    expected, got = both(softmax, graph, codes[0])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)
    totals = np.zeros((NODES, heads))
    np.add.at(totals, graph.adjacency(self_loops=True).targets, got)
    np.testing.assert_allclose(totals, 1, rtol=1e-5)


def test_dequantize(maker, both, graph):
    grid = maker.grid()
    codes = maker.codes(grid, NODES, 6)
    expected, got = both(maker.op("dequantize", [("node", 6, grid)], 6, None), graph, codes)
    np.testing.assert_array_equal(got, (codes - grid.zero_point).astype(np.float32) * np.float32(grid.scale))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("code", ["qmin", "qmax"])
def test_hub_of_extreme_codes(maker, both, code):
    """10,000 edges into one node, every code the same extreme, the zero point at the other end."""
    source = maker.grid(zero_point=None)
    other = source.qmax if code == "qmin" else source.qmin
    source = Grid(0.5, other, source.bits, source.signed)
    edges = np.stack([np.arange(10_000) % 50, np.zeros(10_000, int)])
    graph = Graph(edges, 50)
    x = np.full((50, 3), getattr(source, code))
    target = maker.grid(scale=5_000 * 2.0**source.bits / 7, zero_point=0)
    sums = both(maker.op("sum", [("node", 3, source)], 3, target), graph, x)
    assert_equal(sums)
    assert (sums[0][0] != 0).all() or not target.signed
    assert (sums[0][1:] == 0).all()
    weights = np.ones((10_000, 1), np.float32)
    op = maker.op("weighted_sum", [("edge", 1, None), ("node", 3, source)], 3, target, grids={"message_grid": source})
    assert_equal(both(op, graph, weights, x))


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


@pytest.mark.parametrize("width", [3, 110, 1433])
@pytest.mark.parametrize(("share", "stays"), [(0.005, True), (0.5, False)])
class TestSparse:
    @pytest.mark.parametrize("row_scale", ["inverse_sqrt_degree", "inverse_degree"])
    def test_sum(self, assert_sparse_equals_dense, maker, graph, width, share, stays, row_scale):
        source = maker.grid()
        pair = sparse_codes(maker, source, width, share)
        op = maker.op("sum", [("node", width, source)], width, maker.grid(), row_scale=row_scale)
        assert_sparse_equals_dense(op, graph, pair, stays=stays)

    def test_add(self, assert_sparse_equals_dense, maker, graph, width, share, stays):
        left, right = maker.grid(), maker.grid()
        pairs = [sparse_codes(maker, grid, width, share) for grid in (left, right)]
        op = maker.op("add", [("node", width, left), ("node", width, right)], width, maker.grid(), weights=(1.3, 1.0))
        assert_sparse_equals_dense(op, graph, *pairs, stays=stays)

    def test_linear(self, assert_sparse_equals_dense, maker, graph, width, share, stays):
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

    @pytest.mark.parametrize("keeps_zero", [True, False])
    def test_lookup(self, assert_sparse_equals_dense, maker, graph, width, share, stays, keeps_zero):
        source, target = maker.grid(), maker.grid()
        table = maker.constant(target, 2**source.bits)
        other = target.qmin if target.zero_point > target.qmin else target.qmax
        table[source.zero_point - source.qmin] = target.zero_point if keeps_zero else other
        op = maker.op("lookup", [("node", width, source)], width, target, tensors={"table": table})
        assert_sparse_equals_dense(op, graph, sparse_codes(maker, source, width, share), stays=keeps_zero)

    @pytest.mark.parametrize("biased", [True, False])
    def test_requantize(self, assert_sparse_equals_dense, maker, graph, width, share, stays, biased):
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


def test_one_compiled_version_of_each_kernel(make_program):
    """Signs, bits and memory layouts do not multiply what is compiled."""
    for kind in ("gcn_factored", "gin"):
        for bits in (8, 4):
            edges = np.asfortranarray([[0, 1], [1, 0]])
            Executable(make_program(kind, 4, bits=bits)).run(np.ones((4, 2), np.float32).T, edges)
    for function in (kernels.quantize, kernels.sum_rows):
        assert len(function.signatures) == 1
    assert len(kernels.lookup.signatures) == 2  # tables of codes and of float32
