"""Whole programs: both backends, traces, batches of graphs, threads, refusals."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import scipy.sparse
import torch

from app.engine import Executable, load_program, workers
from app.engine.graph import Graph
from app.engine.kernels import dispatch
from app.engine.kernels.sparse import SparseRows
from app.engine.ops.bound import BoundOp
from app.engine.ops.compiled import COMPILED
from app.engine.program.io import save_program
from app.engine.program.model import INPUT
from app.engine.simd import vectors as simd
from app.engine.workers import Workers
from tests.app.engine.programs import Draft

NODES, WIDTH = 40, 60
ROOT = Path(__file__).parents[3]

needs_vectors = pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")


def assert_same_trace(got, expected):
    assert list(got) == list(expected)
    for name, value in expected.items():
        assert got[name].dtype == value.dtype, name
        if value.dtype == np.float32:
            np.testing.assert_allclose(got[name], value, rtol=1e-6, atol=0, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], value, err_msg=name)


@pytest.mark.parametrize("bits", [8, 4])
def test_both_backends_agree_on_every_value(tmp_path, kind, make_program, x, edges, bits):
    save_program(make_program(kind, WIDTH, bits=bits), tmp_path)
    compiled, reference = load_program(tmp_path), load_program(tmp_path, "reference")
    trace = compiled.trace(x, edges)
    assert_same_trace(trace, reference.trace(x, edges))
    np.testing.assert_array_equal(compiled.run(x, edges), trace["logits"])
    np.testing.assert_array_equal(trace["x"], x)


@pytest.mark.parametrize(("bits", "least"), [(8, 12), (4, 3)])
def test_the_programs_of_these_tests_are_not_trivial(kind, make_program, x, edges, bits, least):
    trace = Executable(make_program(kind, WIDTH, bits=bits)).trace(x, edges)
    assert all(len(np.unique(value)) >= least for value in trace.values())


def test_trace_shows_messages_in_the_order_of_the_edges(make_program, x, edges):
    for kind, width in (("gcn_edge", 5), ("gat", 40)):
        program = make_program(kind, WIDTH)
        trace = Executable(program).trace(x, edges)
        op = next(op for op in program.ops if op.attributes.get("message") == "message0")
        grid, total = op.grids["message_grid"], program.values[op.output].grid
        adjacency = Graph(edges, NODES).adjacency(self_loops=True)
        assert trace["message0"].shape == (adjacency.num_edges, width)
        sums = np.zeros((NODES, width))
        np.add.at(sums, adjacency.targets, trace["message0"].astype(int) - grid.zero_point)
        values = (trace[op.output].astype(int) - total.zero_point) * total.scale
        inside = (trace[op.output] > total.qmin) & (trace[op.output] < total.qmax)
        assert inside.any()
        assert np.abs(sums * grid.scale - values)[inside].max() <= total.scale * 0.5001


def test_sparse_features_stay_sparse_through_the_sum(make_program, make, edges):
    program = make_program("gin", 1433)
    x = (make(1).rng.random((NODES, 1433)) < 0.005).astype(np.float32)
    values, graph = {INPUT: COMPILED.read(x)}, Graph(edges, NODES)
    assert isinstance(values[INPUT], SparseRows)
    sparse = []
    for stage in COMPILED.stages([BoundOp.bind(op, program) for op in program.ops], Workers(), together=False):
        values |= stage.run(graph, values)
        sparse += [op.op.kind for op in stage.ops if isinstance(values[op.output.name], SparseRows)]
    assert sparse[:3] == ["quantize", "sum", "add"]
    assert_same_trace(Executable(program).trace(x, edges), Executable(program, "reference").trace(x, edges))


def test_a_graph_is_built_once_and_used_often(program, x, edges):
    executable, graph = Executable(program), Graph(edges, NODES)
    expected = executable.run(x, torch.from_numpy(edges))
    for _ in range(2):
        np.testing.assert_array_equal(executable.run(x, graph), expected)


@pytest.mark.parametrize("backend", ["compiled", "reference"])
@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_graphs_without_edges(program, x, nodes, backend):
    logits = Executable(program, backend).run(x[:nodes], np.empty((2, 0), np.int64))
    assert logits.shape == (nodes, 3)
    assert logits.dtype == np.float32
    expected = Executable(program, "reference").run(x[:nodes], np.empty((2, 0), np.int64))
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("kind", ["gcn_edge", "gcn_factored", "gin"], indirect=True)
def test_integer_sums_do_not_know_the_order_of_nodes_and_edges(program, x, edges, make):
    rng = make(9).rng
    place, order = rng.permutation(NODES), rng.permutation(edges.shape[1])
    moved = np.empty_like(x)
    moved[place] = x
    executable = Executable(program)
    got = executable.run(moved, place[edges[:, order]])
    np.testing.assert_array_equal(got[place], executable.run(x, edges))


def test_threads_do_not_disturb_each_other(program, make, edges):
    executable = Executable(program)
    rng = make(3).rng
    xs = [rng.normal(size=(NODES, WIDTH)).astype(np.float32) * (rng.random(WIDTH) < share) for share in (0.05, 1) * 8]
    graph = Graph(edges, NODES)
    expected = [Executable(program).run(x, edges) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for got, logits in zip(pool.map(lambda x: executable.run(x, graph), xs * 4), expected * 4, strict=True):
            np.testing.assert_array_equal(got, logits)


def unpickled(executable):
    return pickle.loads(pickle.dumps(executable))


@pytest.mark.parametrize("copied", [copy.deepcopy, unpickled])
def test_a_copy_runs_the_same_program_in_the_same_way(monkeypatch, copied, program, x, edges):
    monkeypatch.setattr(workers, "LEAST_WORK", 10)
    executable = Executable(program, threads=2)
    expected = executable.run(x, edges)
    np.testing.assert_array_equal(copied(executable).run(x, edges), expected)
    reference = copied(Executable(program, "reference", threads=3))
    assert_same_trace(reference.trace(x, edges), Executable(program, "reference").trace(x, edges))
    assert reference.__reduce__()[1][1:3] == ("reference", 3)


def long_program(number):
    """A chain of so many ops."""
    draft = Draft(0, 1)
    h = draft.emit("quantize", INPUT)
    for _ in range(number):
        h = draft.emit("requantize", h)
    return draft.finish(h)


def seconds_to_prepare(program):
    start = process_time()
    Executable(program)
    return process_time() - start


def test_the_time_to_prepare_a_program_grows_no_faster_than_its_ops():
    few, many = long_program(2_000), long_program(16_000)
    assert seconds_to_prepare(many) < 3 * 8 * seconds_to_prepare(few)


def test_facts_about_a_program(tmp_path, make_program):
    program = make_program("gcn_edge", WIDTH, hidden=7, classes=4, bits=4)
    executable = load_program(save_program(program, tmp_path / "model"))
    assert (executable.in_features, executable.out_features) == (WIDTH, 4)
    assert executable.manifest == {"made": "by hand"}
    packed = sum((array.size + 1) // 2 for array in program.constants.values() if array.dtype != np.float32)
    floats = sum(4 * array.size for array in program.constants.values() if array.dtype == np.float32)
    assert executable.num_bytes == packed + floats


def test_the_share_of_saturated_features(make_program):
    """Just within the grid nothing is; beyond it on either side everything is, dense or sparse."""
    program = make_program("gin", 4)
    executable, grid = Executable(program), program.values[program.ops[0].output].grid
    smallest, largest = ((code - grid.zero_point) * grid.scale for code in (grid.qmin, grid.qmax))
    within = np.array([[largest, smallest, 0.0, largest + 0.4 * grid.scale]] * 5)
    beyond = np.array([[largest + grid.scale, 0.0, 0.0, smallest - grid.scale]] * 5)
    assert executable.saturated(within) == 0
    assert executable.saturated(beyond) == 0.5
    assert executable.saturated(scipy.sparse.csr_matrix(beyond)) == 0.5
    assert executable.saturated(within[:0]) == 0
    assert executable.saturated(within * np.nan) == 1
    for x, share in ((within, 0), (beyond, 0.5), (scipy.sparse.csr_matrix(beyond), 0.5)):
        logits, report = executable.run(x, [[0], [1]], report=True)
        np.testing.assert_array_equal(logits, executable.run(x, [[0], [1]]))
        assert report.saturated == share


@pytest.mark.parametrize("bits", [8, 4])
def test_both_backends_agree_on_whole_graphs(tmp_path, make_program, make, x, edges, bits):
    save_program(make_program("graph_gin", WIDTH, bits=bits), tmp_path)
    batch = make(6).rng.integers(0, 9, NODES)
    trace = load_program(tmp_path).trace(x, edges, batch, 11)
    assert_same_trace(trace, load_program(tmp_path, "reference").trace(x, edges, batch, 11))
    assert trace["logits"].shape == (11, 3)
    assert all(len(np.unique(value)) >= 3 for value in trace.values())


def test_a_graph_does_not_know_what_it_is_batched_with(make_program, make, x):
    """In any order of nodes; of an empty graph nothing is left but constants."""
    executable, rng = Executable(make_program("graph_gin", WIDTH)), make(3).rng
    sizes = [7, 0, 12, 20, 1, 0]
    parts = np.split(x, np.cumsum(sizes)[:-1])
    edge_lists = [rng.integers(0, max(size, 1), (2, 4 * size)) for size in sizes]
    alone = np.concatenate([executable.run(part, edges) for part, edges in zip(parts, edge_lists, strict=True)])
    starts = np.cumsum([0, *sizes[:-1]])
    together = np.concatenate([edges + start for edges, start in zip(edge_lists, starts, strict=True)], axis=1)
    place = rng.permutation(NODES)
    moved, batch = np.empty_like(x), np.empty(NODES, int)
    moved[place], batch[place] = x, np.repeat(np.arange(6), sizes)
    np.testing.assert_array_equal(executable.run(moved, place[together], batch, 6), alone)
    np.testing.assert_array_equal(executable.run(moved, Graph(place[together], NODES, batch, 6)), alone)
    np.testing.assert_array_equal(executable.run(moved, place[together], batch), alone[:5])
    np.testing.assert_array_equal(alone[1], alone[5])
    assert len(np.unique(alone[[0, 2, 3, 4]], axis=0)) == 4


@pytest.mark.parametrize("backend", ["compiled", "reference"])
def test_a_trace_goes_on_with_given_codes(program, x, edges, backend):
    """A run continued from its own codes is itself; from others, ops show what they make of them."""
    executable = Executable(program, backend)
    trace = executable.trace(x, edges)
    coded = {name: trace[name] for name, value in program.values.items() if value.grid is not None}
    assert_same_trace(executable.trace(x, edges, given=coded), trace)
    first, last = program.ops[0].output, program.ops[-1].inputs[0]
    other = executable.trace(-x, edges)
    mixed = executable.trace(x, edges, given={first: other[first]})
    np.testing.assert_array_equal(mixed[first], trace[first])
    np.testing.assert_array_equal(mixed[last], other[last])
    assert (other[last] != trace[last]).any()


@pytest.mark.parametrize("backend", ["compiled", "reference"])
@pytest.mark.parametrize("kind", ["gcn_edge", "gat"], indirect=True)
def test_a_trace_adds_up_given_messages(program, x, edges, backend):
    """Whatever the rows and coefficients: behind the sum, everything is what the given messages make of it."""
    executable = Executable(program, backend)
    trace, other = executable.trace(x, edges), executable.trace(-x, edges)
    mixed = executable.trace(x, edges, given={"message0": other["message0"]})
    names = list(mixed)
    before, behind = names[: names.index("message0") + 1], names[names.index("message0") + 1 :]
    assert_same_trace({name: mixed[name] for name in before}, {name: trace[name] for name in before})
    assert_same_trace({name: mixed[name] for name in behind}, {name: other[name] for name in behind})
    assert (other["message0"] != trace["message0"]).any()


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("other", (1, 1), "given: the program has no value 'other'"),
        ("logits", (40, 3), "given: 'logits' is float32, it has no codes"),
        ("quantize.0", (1, 1), r"given: 'quantize.0': expected shape \[40, 60\], got \[1, 1\]"),
    ],
)
def test_given_codes_belong_to_a_value(make_program, make, edges, name, shape, sentence):
    executable = Executable(make_program("gin", WIDTH))
    with pytest.raises(ValueError, match=sentence):
        executable.trace(np.ones((NODES, WIDTH)), edges, given={name: np.zeros(shape, np.int8)})


@pytest.mark.parametrize(
    ("codes", "found"), [(np.float64(1), "float64"), (np.int64(-1), "-1 to -1"), (np.int64(256), "256 to 256")]
)
def test_given_codes_are_codes_of_the_grid(make_program, edges, codes, found):
    executable = Executable(make_program("gin", WIDTH))
    with pytest.raises(ValueError, match=f"given: 'quantize.0': expected whole numbers from .*, got {found}$"):
        executable.trace(np.ones((NODES, WIDTH)), edges, given={"quantize.0": np.full((40, 60), codes)})


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [(None, r"expected shape \[40, 60\], got \[\]"), ([[1], [1, 2]], "its rows are not equally long")],
)
def test_given_codes_are_an_array(make_program, edges, codes, sentence):
    executable = Executable(make_program("gin", WIDTH))
    with pytest.raises(ValueError, match=f"^given: 'quantize.0': {sentence}$"):
        executable.trace(np.ones((NODES, WIDTH)), edges, given={"quantize.0": codes})


def test_check_takes_a_graph(make_program, edges):
    executable = Executable(make_program("gin", WIDTH))
    executable.check(Graph(edges, NODES))
    with pytest.raises(ValueError, match=r"^expected a Graph\(edge_index, num_nodes\), got ndarray$"):
        executable.check(edges)


@pytest.mark.parametrize("vectors", [pytest.param(True, marks=needs_vectors), False], ids=["vectors", "plain"])
@pytest.mark.parametrize("kind", ["gcn_edge", "gcn_factored", "gin", "gat"])
def test_threads_and_callers_change_nothing(monkeypatch, make, make_program, kind, vectors):
    monkeypatch.setattr(dispatch, "VECTORS", vectors)
    monkeypatch.setattr(workers, "LEAST_WORK", 100)
    maker, program = make(seed=3), make_program(kind, 16)
    edges = maker.edges(500, 4000)
    inputs = [maker.rng.normal(size=(500, program.in_features)).astype(np.float32) for _ in range(6)]
    expected = [Executable(program, "reference").run(x, edges) for x in inputs]
    shared = Executable(program, threads=2)
    with ThreadPoolExecutor(3) as callers:
        for got, want in zip(callers.map(lambda x: shared.run(x, edges), inputs), expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_edges_outside_the_graph_are_refused(make_program):
    with pytest.raises(ValueError, match=r"edge_index: node 3 is outside 0\.\.2"):
        Executable(make_program("gin", 4)).run(np.zeros((3, 4)), [[3], [0]])


def test_a_batch_of_another_size_is_refused(make_program):
    with pytest.raises(ValueError, match=r"batch: expected shape \[3\]"):
        Executable(make_program("gin", 4)).run(np.zeros((3, 4)), [[0], [0]], batch=[0, 0])


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"max_nodes": 39}, "40 nodes are more than max_nodes, 39"),
        ({"max_edges": 149}, "150 edges are more than max_edges, 149"),
        ({"max_graphs": 2}, "3 graphs are more than max_graphs, 2"),
    ],
)
def test_inputs_beyond_a_limit_are_refused(tmp_path, make_program, edges, limits, sentence):
    """And what is just within it is taken; a copy has the limits too."""
    save_program(make_program("graph_gin", WIDTH), tmp_path)
    x, batch = np.ones((NODES, WIDTH)), np.repeat([0, 1, 2], [20, 10, 10])
    ((name, limit),) = limits.items()
    load_program(tmp_path, **{name: limit + 1}).run(x, edges, batch)
    for executable in (load_program(tmp_path, **limits), unpickled(load_program(tmp_path, **limits))):
        for graph in ((edges, batch), (Graph(edges, NODES, batch),)):
            with pytest.raises(ValueError, match=f"^{sentence}$"):
                executable.run(x, *graph)
    with pytest.raises(ValueError, match=f"^{name}: expected a whole number"):
        load_program(tmp_path, **{name: 2.5})


def test_an_unknown_backend_is_refused(make_program):
    with pytest.raises(ValueError, match="backend: expected one of compiled, reference, got 'gpu'"):
        Executable(make_program("gin", 4), "gpu")


@pytest.mark.parametrize(
    ("threads", "sentence"),
    [
        (0, "threads: expected 1 to 1024, got 0"),
        (1025, "threads: expected 1 to 1024, got 1025"),
        (1.5, "threads: expected a whole number, got 1.5"),
        ("2", "threads: expected a whole number, got '2'"),
        (True, "threads: expected a whole number, got True"),
    ],
)
def test_threads_are_a_whole_number_that_processors_have(make_program, threads, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Executable(make_program("gin", 4), threads=threads)


def test_a_path_is_no_program():
    with pytest.raises(TypeError, match=r"got a path; load_program\('served'\) reads it"):
        Executable("served")


def test_the_engine_runs_without_torch(tmp_path, program):
    """Torch is made impossible to import, not merely looked for afterwards."""
    save_program(program, tmp_path)
    code = f"""
import sys
sys.modules["torch"] = None
import numpy as np
from app.engine import load_program
print(load_program({str(tmp_path)!r}).run(np.ones((3, {WIDTH})), np.array([[0, 1], [1, 2]])).shape)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "(3, 3)", result.stderr
