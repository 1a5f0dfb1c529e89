"""Whole programs: both backends, every form of input, threads, refusals."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from app.engine import Executable, Graph, load_program
from app.engine.kernels.sparse import SparseRows
from app.engine.ops.bound import BoundOp
from app.engine.ops.compiled import COMPILED
from app.engine.program.io import save_program
from app.engine.program.model import INPUT
from app.engine.workers import Workers

NODES, WIDTH = 40, 60
ROOT = Path(__file__).parents[3]


@pytest.fixture
def edges(make):
    return make(4).edges(NODES, 150)


@pytest.fixture(params=["dense", "sparse"])
def x(request, make):
    values = make(8).rng.normal(size=(NODES, WIDTH)).astype(np.float32)
    return values if request.param == "dense" else np.where(np.abs(values) > 2.2, values, np.float32(0))


@pytest.fixture
def program(kind, make_program):
    return make_program(kind, WIDTH)


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


def twice(x):
    """Every entry as two halves: rows of a CSR matrix may name a column more than once."""
    rows, columns = np.nonzero(x)
    indptr = np.concatenate([[0], 2 * np.cumsum(np.bincount(rows, minlength=len(x)))])
    return scipy.sparse.csr_matrix((np.repeat(x[rows, columns] / 2, 2), np.repeat(columns, 2), indptr), x.shape)


FORMS = {
    "float64": lambda x: x.astype(np.float64),
    "fortran": np.asfortranarray,
    "torch": torch.from_numpy,
    "torch with gradient": lambda x: torch.tensor(x, requires_grad=True),
    "torch csr": lambda x: torch.from_numpy(x).to_sparse_csr(),
    "scipy csr": scipy.sparse.csr_matrix,
    "scipy csr array": scipy.sparse.csr_array,
    "scipy csc": scipy.sparse.csc_matrix,
    "scipy csr with duplicates": twice,
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_features_gives_the_same_logits(program, x, edges, form):
    executable = Executable(program)
    expected = executable.run(x, edges)
    given = FORMS[form](x)
    np.testing.assert_array_equal(executable.run(given, edges), expected)
    np.testing.assert_array_equal(Executable(program, "reference").run(given, edges), expected)


def test_whole_numbers_and_read_only_features(make_program, make, edges):
    executable = Executable(make_program("gcn_edge", 4))
    x = make(2).rng.integers(-3, 3, (NODES, 4))
    expected = executable.run(x.astype(np.float32), edges)
    fixed = x.astype(np.float32)
    fixed.flags.writeable = False
    for given in (x, x.astype(np.int8), torch.from_numpy(x), fixed, x.tolist()):
        np.testing.assert_array_equal(executable.run(given, edges), expected)
    np.testing.assert_array_equal(executable.run(x > 0, edges), executable.run((x > 0).astype(int), edges))


def test_inputs_are_left_alone(program, x, edges):
    features, edge_index, matrix = x.copy(), edges.copy(), FORMS["scipy csr with duplicates"](x)
    stored = matrix.nnz
    for given in (features, matrix):
        Executable(program).run(given, edge_index)
    np.testing.assert_array_equal(features, x)
    np.testing.assert_array_equal(edge_index, edges)
    assert matrix.nnz == stored > np.count_nonzero(x)


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


def test_facts_about_a_program(tmp_path, make_program):
    program = make_program("gcn_edge", WIDTH, hidden=7, classes=4, bits=4)
    executable = load_program(save_program(program, tmp_path / "model"))
    assert (executable.in_features, executable.out_features) == (WIDTH, 4)
    assert executable.manifest == {"made": "by hand"}
    packed = sum((array.size + 1) // 2 for array in program.constants.values() if array.dtype != np.float32)
    floats = sum(4 * array.size for array in program.constants.values() if array.dtype == np.float32)
    assert executable.num_bytes == packed + floats


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


def with_entry(value):
    x = np.zeros((3, 4))
    x[1, 2] = value
    return x


def broken_csr(indices=(0, 1), indptr=(0, 1, 2, 2)):
    matrix = scipy.sparse.csr_matrix(np.eye(3, 4)[:3] * [1, 1, 0, 0])
    matrix.indices = np.array(indices, np.int32)
    matrix.indptr = np.array(indptr, np.int32)
    return matrix


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (with_entry(np.nan), "NaN or not finite"),
        (with_entry(np.inf), "NaN or not finite"),
        (with_entry(1e39), "NaN or not finite"),
        (scipy.sparse.csr_matrix(with_entry(np.nan)), "NaN or not finite"),
        (lambda: torch.from_numpy(with_entry(np.inf)).to_sparse_csr(), "NaN or not finite"),
        (np.zeros((3, 5)), r"expected shape \[N, 4\], got \[3, 5\]"),
        (np.zeros(4), r"expected shape \[N, 4\], got \[4\]"),
        (np.zeros((1, 3, 4)), r"expected shape \[N, 4\]"),
        (scipy.sparse.csr_matrix((3, 5)), r"expected shape \[N, 4\], got \[3, 5\]"),
        (lambda: torch.zeros(3, 5).to_sparse_csr(), r"expected shape \[N, 4\], got \[3, 5\]"),
        (torch.zeros(3, 4).to_sparse(), "pass x.to_sparse_csr()"),
        (torch.zeros(3, 4).bfloat16(), "cannot be read as an array"),
        (np.zeros((3, 4), complex), "expected real numbers, got complex128"),
        (np.full((3, 4), "a"), "expected real numbers, got <U1"),
        (np.full((3, 4), None), "expected real numbers, got object"),
        ([[1, 2], [3]], "cannot be read as an array"),
        (broken_csr(indices=(0, 4)), "not a valid sparse matrix"),
        (broken_csr(indices=(0, -1)), "not a valid sparse matrix"),
        (broken_csr(indptr=(0, 2, 1, 2)), "not a valid sparse matrix"),
        (
            lambda: torch.sparse_csr_tensor([0, 1, 2, 2], [0, 9], [1.0, 1.0], size=(3, 4), check_invariants=False),
            "not a valid sparse matrix",
        ),
    ],
)
@pytest.mark.parametrize("backend", ["compiled", "reference"])
def test_refused_features(make_program, x, sentence, backend):
    given = x() if callable(x) else x
    with pytest.raises(ValueError, match=f"^x: .*{sentence}"):
        Executable(make_program("gcn_edge", 4), backend).run(given, np.zeros((2, 1), int))


def test_refused_edges_batches_and_backends(make_program):
    program = make_program("gin", 4)
    executable, x = Executable(program), np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"edge_index: node 3 is outside 0\.\.2"):
        executable.run(x, [[3], [0]])
    with pytest.raises(ValueError, match=r"batch: expected shape \[3\]"):
        executable.run(x, [[0], [0]], batch=[0, 0])
    with pytest.raises(ValueError, match="backend: expected one of compiled, reference, got 'gpu'"):
        Executable(program, "gpu")


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
