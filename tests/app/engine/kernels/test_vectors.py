"""Kernels on vectors, plain kernels and the reference: the same codes, at every width and on several threads."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.engine import Executable, workers
from app.engine.buffers import LEAST_BYTES, Buffers
from app.engine.graph import Graph
from app.engine.kernels import dispatch
from app.engine.kernels import products as vector_linear
from app.engine.program.grid import Grid
from app.engine.simd import dots
from app.engine.simd import vectors as simd
from app.engine.workers import Workers

WIDTHS = [3, 7, 8, 16, 31, 110, 145, 146, 1433]
NODES, EDGES, HUB = 41, 400, 10_000

needs_vectors = pytest.mark.skipif(not simd.AVX2, reason="this CPU has no AVX2")


@pytest.fixture(params=[pytest.param(True, marks=needs_vectors), False], ids=["vectors", "plain"])
def vectors(request, monkeypatch):
    monkeypatch.setattr(dispatch, "VECTORS", request.param)
    return request.param


@pytest.fixture
def maker(make):
    return make(seed=3)


@pytest.fixture
def hub(maker):
    """A node of 10,000 edges among nodes with few or none."""
    edges = maker.edges(NODES, EDGES + HUB)
    edges[1, EDGES:] = 0
    return Graph(edges, NODES)


def assert_equal(results):
    expected, got = results
    np.testing.assert_array_equal(got, expected)


def extreme(maker, grid, width):
    """Codes some of whose columns hold only the smallest or the largest code."""
    codes = maker.codes(grid, NODES, width)
    codes[:, ::5], codes[:, 1::5] = grid.qmax, grid.qmin
    return codes


@pytest.mark.parametrize("width", WIDTHS)
def test_sum(vectors, maker, both, hub, width):
    for scale in (60.0, 3000.0):  # rows of few edges, then the hub, spread over the grid
        source = maker.grid()
        target = maker.grid(scale=source.scale * scale)
        op = maker.op("sum", [("node", width, source)], width, target)
        assert_equal(both(op, hub, extreme(maker, source, width)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("outputs", [1, 16, 40, 145])
def test_linear(vectors, maker, both, hub, width, outputs):
    source, weight_grid = maker.grid(), maker.grid(zero_point=0)
    target = maker.grid(scale=source.scale * weight_grid.scale * width**0.5 * 60)
    weight = maker.constant(weight_grid, outputs, width)
    weight[::3] = -128
    tensors = {"weight": weight, "bias": (maker.rng.normal(size=outputs) * target.scale * 10).astype(np.float32)}
    op = maker.op("linear", [("node", width, source)], outputs, target, tensors=tensors,
                  grids={"weight_grid": weight_grid}, row_scale="inverse_sqrt_degree")  # fmt: skip
    assert_equal(both(op, hub, extreme(maker, source, width)))


@pytest.mark.parametrize(("heads", "channels"), [(1, width) for width in WIDTHS] + [(8, 16), (3, 10), (8, 3), (2, 70)])
def test_weighted_sum(vectors, maker, both, hub, heads, channels):
    weights, source, message = maker.grid(), maker.grid(), maker.grid()
    width = heads * channels
    target = maker.grid(scale=message.scale * 500)
    inputs = [("edge", heads, weights), ("node", width, source)]
    op = maker.op("weighted_sum", inputs, width, target, grids={"message_grid": message})
    codes = maker.codes(weights, EDGES + HUB, heads)
    assert_equal(both(op, hub, codes, extreme(maker, source, width)))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("width", [16, 30, 32, 34, 110, 128, 130, 146, 256])
def test_sums_of_packed_rows(vectors, make, both, width, signed):
    maker = make(seed=4, bits=4, signed=signed)
    edges = maker.edges(NODES, EDGES + HUB)
    edges[1, EDGES:] = 0
    hub, source, weights, message = Graph(edges, NODES), maker.grid(), maker.grid(), maker.grid()
    codes, of_edges = extreme(maker, source, width), maker.codes(weights, EDGES + HUB, 1)
    for scale in (60.0, 3000.0):
        op = maker.op("sum", [("node", width, source)], width, maker.grid(scale=source.scale * scale))
        assert_equal(both(op, hub, codes))
        inputs, target = [("edge", 1, weights), ("node", width, source)], maker.grid(scale=message.scale * scale)
        op = maker.op("weighted_sum", inputs, width, target, grids={"message_grid": message})
        assert_equal(both(op, hub, of_edges, codes))


def test_few_bits_of_weights_have_small_tables(vectors, make, both):
    maker = make(seed=4, bits=2)
    edges = Graph(maker.edges(NODES, EDGES), NODES)
    weights, source, message = maker.grid(), maker.grid(), maker.grid()
    inputs, grids = [("edge", 1, weights), ("node", 64, source)], {"message_grid": message}
    op = maker.op("weighted_sum", inputs, 64, maker.grid(scale=message.scale * 9), grids=grids)
    assert_equal(both(op, edges, maker.codes(weights, EDGES, 1), extreme(maker, source, 64)))


def test_messages_beyond_an_i32_are_left_to_the_plain_kernel(vectors, maker, both, hub):
    """A message 2^31 times its largest code must be that code, of the right sign."""
    weights, source, message = maker.grid(), maker.grid(), maker.grid(scale=1e-12)
    inputs, target = [("edge", 1, weights), ("node", 64, source)], maker.grid(scale=message.scale * 99)
    op = maker.op("weighted_sum", inputs, 64, target, grids={"message_grid": message})
    assert_equal(both(op, hub, maker.codes(weights, EDGES + HUB, 1), extreme(maker, source, 64)))


@pytest.mark.parametrize("width", [16, 64, 110, 145])
def test_passes_over_all_codes(vectors, maker, both, hub, width):
    source, other, target = maker.grid(), maker.grid(), maker.grid()
    codes, x = (
        extreme(maker, source, width),
        (maker.rng.normal(0, 300, (NODES, width)) * target.scale).astype(np.float32),
    )
    x[0, :4] = np.float32([1e30, -1e30, 2.5 * target.scale, -0.5 * target.scale])
    rows = [("node", width, source)]
    assert_equal(both(maker.op("quantize", [("node", width, None)], width, target), hub, x))
    assert_equal(both(maker.op("dequantize", rows, width, None), hub, codes))
    for role in ("scale", "bias"):
        tensors = {role: maker.rng.normal(size=width).astype(np.float32) * 1000}
        assert_equal(both(maker.op("requantize", rows, width, target, tensors=tensors), hub, codes))
    op = maker.op("add", [*rows, ("node", width, other)], width, target, weights=(1.3, -0.5))
    assert_equal(both(op, hub, codes, extreme(maker, other, width)))


@pytest.mark.parametrize("bent", [False, True])
def test_a_table_is_computed_only_where_that_gives_every_entry(vectors, maker, both, hub, bent):
    source, target = maker.grid(), maker.grid()
    values = (np.arange(source.qmin, source.qmax + 1) - source.zero_point) * source.scale / target.scale
    table = np.clip(np.rint(values) + target.zero_point, target.qmin, target.qmax).astype(np.int8)
    table[7] += np.int8(bent) * (1 if table[7] < 0 else -1)
    op = maker.op("lookup", [("node", 64, source)], 64, target, tensors={"table": table})
    assert_equal(both(op, hub, np.resize(np.arange(source.qmin, source.qmax + 1), (NODES, 64))))


@needs_vectors
@pytest.mark.parametrize("columns", [16, 32, 64])
@pytest.mark.parametrize("name", ["WORDS_DOT", "BYTES_DOT", "VNNI_DOT"])
def test_every_dot_multiplies_exactly(monkeypatch, maker, both, hub, name, columns):
    if name == "VNNI_DOT" and not simd.VNNI:
        pytest.skip("this CPU has no VNNI")
    monkeypatch.setattr(vector_linear, "WIDEST", columns)
    monkeypatch.setattr(vector_linear, "best_dot", lambda quads, largest: getattr(dots, name))
    source, weight_grid = maker.grid(), maker.grid(zero_point=0)
    target = maker.grid(scale=source.scale * weight_grid.scale * 600)
    weight = maker.constant(weight_grid, 70, 145)
    weight = weight // 2 if name == "BYTES_DOT" else weight
    op = maker.op("linear", [("node", 145, source)], 70, target, tensors={"weight": weight},
                  grids={"weight_grid": weight_grid})  # fmt: skip
    assert_equal(both(op, hub, extreme(maker, source, 145)))


@needs_vectors
@pytest.mark.parametrize("zero_point", [-128, 127])
def test_weights_that_int8_cannot_hold_are_sums(maker, both, hub, zero_point):
    source, weight_grid = maker.grid(), Grid(0.5, zero_point, 8, True)
    target = maker.grid(scale=source.scale * weight_grid.scale * 60_000)
    weight = maker.constant(weight_grid, 21, 145)
    weight[:7], weight[7:14] = -128, 127
    op = maker.op("linear", [("node", 145, source)], 21, target, tensors={"weight": weight},
                  grids={"weight_grid": weight_grid})  # fmt: skip
    assert_equal(both(op, hub, extreme(maker, source, 145)))


def test_attention_of_many_heads_takes_memory_in_proportion():
    vectors = np.ones((2, 5000, 1), np.int16)
    tracemalloc.start()
    try:
        dispatch.project(vectors, 3, 255)
        assert tracemalloc.get_traced_memory()[1] < 100 * vectors.nbytes
    finally:
        tracemalloc.stop()


def test_the_bound_on_bytes_is_sharp():
    """255 * (64 + 64) fits 16 bits, 255 * (64 + 65) does not, on either side of zero."""
    assert vector_linear.fits_bytes(np.int8([[64, 64, -64, -64]]), 255)
    assert not vector_linear.fits_bytes(np.int8([[64, 65, 0, 0]]), 255)
    assert not vector_linear.fits_bytes(np.int8([[0, 0, -64, -65]]), 255)
    assert vector_linear.fits_bytes(np.int8([[127, -128, 0, 127]]), 255)
    assert vector_linear.fits_bytes(np.int8([[127, 127, -128, -128]]), 127)


def test_weights_beyond_bytes_are_left_to_the_plain_kernel(vectors, maker, both, hub):
    source, weight_grid = maker.grid(), maker.grid(zero_point=-100)
    weight = maker.constant(weight_grid, 16, 32)
    op = maker.op("linear", [("node", 32, source)], 16, maker.grid(scale=9.0), tensors={"weight": weight},
                  grids={"weight_grid": weight_grid})  # fmt: skip
    assert_equal(both(op, hub, maker.codes(source, NODES, 32)))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("rows", [0, 1, 3, 1000])
def test_workers_cover_every_row_once(monkeypatch, threads, rows):
    monkeypatch.setattr(workers, "LEAST_WORK", 10)
    degrees = np.arange(rows) % 7
    degrees[rows // 2 : rows // 2 + 1] = 100_000
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    for edges in (None, indptr):
        seen = np.zeros(rows, int)

        def count(first, last, seen=seen):
            seen[first:last] += 1

        Workers(threads).run(count, rows, edges)
        np.testing.assert_array_equal(seen, 1)


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_WORK", 10)

    def fail(first, last):
        raise RuntimeError(f"{first}")

    with pytest.raises(RuntimeError):
        Workers(2).run(fail, 100)


@pytest.mark.parametrize("kind", ["gcn_edge", "gcn_factored", "gin", "gat"])
def test_threads_and_callers_change_nothing(vectors, monkeypatch, maker, make_program, kind):
    monkeypatch.setattr(workers, "LEAST_WORK", 100)
    program = make_program(kind, 16)
    edges = maker.edges(500, 4000)
    inputs = [maker.rng.normal(size=(500, program.in_features)).astype(np.float32) for _ in range(6)]
    expected = [Executable(program, "reference").run(x, edges) for x in inputs]
    shared = Executable(program, threads=2)
    with ThreadPoolExecutor(3) as callers:
        for got, want in zip(callers.map(lambda x: shared.run(x, edges), inputs), expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_threads_are_at_least_one(make_program):
    with pytest.raises(ValueError, match="threads: expected at least 1, got 0"):
        Executable(make_program("gin", 4), threads=0)


def test_memory_is_used_again_but_never_while_somebody_looks():
    buffers, shape = Buffers(), (LEAST_BYTES // 4, 2)
    first = buffers.empty(shape, np.float32)
    place, part = first.ctypes.data, first[5:, 1]
    del first
    second = buffers.empty(shape, np.float32)
    assert second.shape == shape
    assert second.flags.writeable
    assert second.ctypes.data != place
    del part
    assert buffers.empty(shape, np.float32).ctypes.data == place


def test_results_of_one_executable_do_not_overwrite_each_other(make_program, maker):
    rows = LEAST_BYTES // 8
    executable, edges = Executable(make_program("gin", 16)), maker.edges(rows, 10)
    inputs = [maker.rng.normal(size=(rows, executable.in_features)).astype(np.float32) for _ in range(3)]
    results = [executable.run(x, edges) for x in inputs]
    for x, result in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(result, executable.run(x, edges))
    assert not np.array_equal(results[0], results[1])
