"""Whole programs on small inputs, as one call: what stages compute, and what the reference computes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from app.engine import Executable, workers
from app.engine.chain import chain
from app.engine.chain.plan import MOST_EDGES
from app.engine.graph import Graph
from app.engine.kernels import dispatch
from app.engine.ops import layout
from app.engine.program.model import INPUT
from app.engine.simd import vectors as simd
from tests.app.engine.programs import PROGRAMS, WEIGHTED_PROGRAMS, Draft

WIDTH, GRAPHS = 24, 5
IN_PYTHON = ("normed",)
KINDS = [kind for kind in (*PROGRAMS, *WEIGHTED_PROGRAMS) if kind not in IN_PYTHON]

needs_vectors = pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")


@pytest.fixture
def maker(make):
    return make(seed=6)


@pytest.fixture
def inputs(maker):
    """inputs(nodes, number of edges) -> features and a batch of graphs with weighted edges."""

    def build(nodes, number, weighted):
        edges = maker.edges(nodes, number) if nodes else np.zeros((2, 0), int)
        weights = maker.rng.uniform(0, 1, edges.shape[1]) if weighted else None
        graph = Graph(edges, nodes, maker.rng.integers(0, GRAPHS, nodes), GRAPHS, edge_weight=weights)
        return maker.rng.normal(size=(nodes, WIDTH)).astype(np.float32), graph

    return build


def small_run(executable, x, graph):
    """The logits as one call, without a second way."""
    assert executable._small.takes(graph)
    return executable._small.run(x, graph)


@pytest.mark.parametrize("vectors", [pytest.param(True, marks=needs_vectors), False], ids=["vectors", "plain"])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_one_call_computes_what_the_reference_does(monkeypatch, make_program, inputs, kind, bits, vectors):
    """On graphs of any size, in any order: memory that a larger graph has used is used again by smaller ones."""
    monkeypatch.setattr(dispatch, "VECTORS", vectors)
    program = make_program(kind, WIDTH, hidden=32, bits=bits)
    executable, reference = Executable(program), Executable(program, "reference")
    for nodes, edges in ((0, 0), (1, 0), (1, 3), (60, 400), (23, 50), (200, 900), (33, 0), (60, 401)):
        x, graph = inputs(nodes, edges, program.reads_edge_weights)
        logits = small_run(executable, x, graph)
        np.testing.assert_array_equal(logits, reference.run(x, graph))
        np.testing.assert_array_equal(logits, executable.run_in_stages(x, graph))


def test_categories_are_taken_too(maker, inputs):
    draft = Draft(0, 1)
    grid = draft._grid(0.1)
    x = draft.emit("embedding", INPUT, width=32, grid=grid, tensors={"table": (draft.maker.constant(grid, 9, 32), 8)})
    program = draft.finish(draft.emit("sum", x))
    _, graph = inputs(23, 50, False)
    ids = maker.rng.integers(0, 9, (23, 1)).astype(np.float32)
    executable = Executable(program)
    np.testing.assert_array_equal(small_run(executable, ids, graph), Executable(program, "reference").run(ids, graph))
    for wrong in (9, -1, 0.5, np.nan, 1e30):
        ids[7] = wrong
        with pytest.raises(ValueError, match=r"^x: expected whole numbers from 0 to 8, got"):
            executable.run(ids, graph)


@pytest.mark.parametrize("terms", [3, 4])
def test_sums_of_many_terms_are_taken(make_program, maker, inputs, terms):
    draft = Draft(1, WIDTH)
    x = draft.emit("quantize", INPUT)
    others = [draft.linear(x, 16) for _ in range(terms)]
    program = draft.finish(draft.emit("add", *others, weights=tuple(0.5 * (i + 1) for i in range(terms))))
    x, graph = inputs(23, 50, False)
    executable = Executable(program)
    np.testing.assert_array_equal(small_run(executable, x, graph), Executable(program, "reference").run(x, graph))


def test_rows_that_are_normalised_by_themselves_are_taken(inputs):
    draft = Draft(3, WIDTH)
    h = draft.emit("normalize", draft.linear(draft.emit("quantize", INPUT), 21), over="row", eps=1e-5, scale=0.03)
    h = draft.emit("normalize", draft.emit("sum", h), over="row", eps=1e-12, length=True, scale=0.01)
    program = draft.finish(h)
    x, graph = inputs(23, 50, False)
    executable = Executable(program)
    expected = Executable(program, "reference").run(x, graph)
    assert len(np.unique(expected)) > 5
    np.testing.assert_array_equal(small_run(executable, x, graph), expected)


def test_a_function_before_the_last_op_is_left_to_stages(inputs):
    draft = Draft(2, WIDTH)
    shares = draft.emit("dequantize", draft.emit("quantize", INPUT), coded=False, function="sigmoid")
    program = draft.finish(draft.emit("quantize", shares, scale=0.01))
    x, graph = inputs(23, 50, False)
    executable = Executable(program)
    assert not executable._small.takes(graph)
    np.testing.assert_array_equal(executable.run(x, graph), Executable(program, "reference").run(x, graph))


@pytest.mark.parametrize("kind", IN_PYTHON)
def test_ops_that_compute_in_numpy_are_left_to_stages(make_program, inputs, kind):
    program = make_program(kind, WIDTH)
    x, graph = inputs(23, 50, False)
    executable = Executable(program)
    assert not executable._small.takes(graph)
    np.testing.assert_array_equal(executable.run(x, graph), Executable(program, "reference").run(x, graph))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_with_the_same_sentence(make_program, inputs, value):
    executable = Executable(make_program("gin", WIDTH))
    x, graph = inputs(23, 50, False)
    before = executable.run(x, graph)
    wrong = x.copy()
    wrong[22, WIDTH - 1] = value
    with pytest.raises(ValueError, match="NaN or not finite"):
        executable.run(wrong, graph)
    np.testing.assert_array_equal(executable.run(x, graph), before)


def test_large_inputs_are_left_to_stages(monkeypatch, make_program, inputs):
    """Work that threads would share, edges that sums were not proved for, rows beyond a block."""
    small = Executable(make_program("gin", WIDTH))._small
    _, graph = inputs(100, 1200, False)
    assert small.takes(graph)
    monkeypatch.setattr(workers, "LEAST_WORK", 1000)
    assert small.takes(graph) is False
    monkeypatch.undo()
    monkeypatch.setattr(layout, "BLOCK_BYTES", 100 * WIDTH - 1)
    assert small.takes(graph) is False
    monkeypatch.undo()
    monkeypatch.setattr(workers, "LEAST_WORK", 1 << 20)
    assert small.takes(Graph(np.zeros((2, MOST_EDGES - 1), int), 1))
    assert not small.takes(Graph(np.zeros((2, MOST_EDGES), int), 1))


@pytest.mark.parametrize("short", [0, 1 << 20], ids=["GIL given up", "GIL kept"])
def test_callers_do_not_disturb_each_other(monkeypatch, make_program, inputs, short):
    monkeypatch.setattr(workers, "SHORT", short)
    program = make_program("gat", WIDTH)
    given = [inputs(nodes, 8 * nodes, False) for nodes in (23, 60, 300) * 4]
    expected = [Executable(program).run_in_stages(*one) for one in given]
    shared = Executable(program)
    with ThreadPoolExecutor(4) as pool:
        for got, want in zip(pool.map(lambda one: shared.run(*one), given * 20), expected * 20, strict=True):
            np.testing.assert_array_equal(got, want)


def test_memory_is_kept_by_size_and_given_back(make_program, inputs):
    executable = Executable(make_program("gin", WIDTH))
    arenas = executable._small._arenas
    for nodes in (20, 21, 31, 17, 30):
        executable.run(*inputs(nodes, 2 * nodes, False))
    assert sum(map(len, arenas.values())) <= 2  # sizes of nodes, and of nodes and edges
    executable.release()
    assert not arenas
    x, graph = inputs(23, 50, False)
    np.testing.assert_array_equal(executable.run(x, graph), executable.run_in_stages(x, graph))


def test_threads_that_make_the_first_calls_at_once_call_what_stays_in_memory(monkeypatch, make_program, inputs):
    """Each works out a plan of its own; one is kept, and what is called must be part of that one."""
    program = make_program("gin", WIDTH, hidden=32)
    executable, (x, graph) = Executable(program), inputs(23, 50, False)
    together, plan_of = Barrier(2), chain.plan_of

    def both_at_once(members):
        together.wait(60)
        plan = plan_of(members)
        together.wait(60)
        return plan

    monkeypatch.setattr(chain, "plan_of", both_at_once)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: small_run(executable, x, graph), range(2)))
    kept = executable._small._prepared
    assert kept.calls[0] == chain.address_of(kept.plan.calls)
    assert kept.calls[2] == chain.address_of(kept.plan.words)
    expected = Executable(program, "reference").run(x, graph)
    for logits in (*found, small_run(executable, x, graph)):
        np.testing.assert_array_equal(logits, expected)
