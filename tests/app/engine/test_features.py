"""Features in every form that is read, and those that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch

from app.engine import Executable
from app.engine.features import read_features

NODES, WIDTH = 40, 60


def twice(x):
    """Every entry as two halves: rows of a CSR matrix may name a column more than once."""
    rows, columns = np.nonzero(x)
    indptr = np.concatenate([[0], 2 * np.cumsum(np.bincount(rows, minlength=len(x)))])
    return scipy.sparse.csr_matrix((np.repeat(x[rows, columns] / 2, 2), np.repeat(columns, 2), indptr), x.shape)


def uncoalesced(halves):
    """Every entry twice."""
    return torch.sparse_coo_tensor(
        halves.indices().repeat(1, 2), halves.values().repeat(2), halves.shape, check_invariants=True
    )


FORMS = {
    "float64": lambda x: x.astype(np.float64),
    "fortran": np.asfortranarray,
    "torch": torch.from_numpy,
    "torch with gradient": lambda x: torch.tensor(x, requires_grad=True),
    "torch csr": lambda x: torch.from_numpy(x).to_sparse_csr(),
    "torch coo": lambda x: torch.from_numpy(x).to_sparse(),
    "torch coo with duplicates": lambda x: uncoalesced(torch.from_numpy(x / 2).to_sparse()),
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
    bfloat16 = torch.from_numpy(x).bfloat16()
    for given in (x, x.astype(np.int8), torch.from_numpy(x), bfloat16, fixed, x.tolist()):
        np.testing.assert_array_equal(executable.run(given, edges), expected)
    np.testing.assert_array_equal(executable.run(x > 0, edges), executable.run((x > 0).astype(int), edges))


def test_features_in_a_file_are_read_where_they_lie(program, x, edges, tmp_path):
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(read_features(mapped, WIDTH), mapped)
    executable = Executable(program)
    np.testing.assert_array_equal(executable.run(mapped, edges), executable.run(x, edges))
    expected = executable.trace(x, edges)
    for name, codes in executable.trace(mapped, edges).items():
        np.testing.assert_array_equal(codes, expected[name])


def test_inputs_are_left_alone(program, x, edges):
    features, edge_index, matrix = x.copy(), edges.copy(), FORMS["scipy csr with duplicates"](x)
    stored = matrix.nnz
    for given in (features, matrix):
        Executable(program).run(given, edge_index)
    np.testing.assert_array_equal(features, x)
    np.testing.assert_array_equal(edge_index, edges)
    assert matrix.nnz == stored > np.count_nonzero(x)


def test_rows_are_those_that_scipy_makes_of_them(make):
    """Of entries in any order, some of them twice; SciPy is asked for the result, and never loaded by the engine."""
    rng = make(5).rng
    rows, columns = rng.integers(0, 7, 60), rng.integers(0, 9, 60)
    values = rng.integers(-8, 9, 60).astype(np.float32)
    matrix = scipy.sparse.coo_matrix((values, (rows, columns)), (7, 9))
    shuffled = scipy.sparse.csr_matrix((values, columns, [0, 10, 10, 20, 30, 45, 50, 60]), (7, 9))
    for given in (matrix, shuffled, scipy.sparse.csr_matrix((7, 9)), scipy.sparse.csr_matrix((0, 9))):
        expected = given.tocsr(copy=True)
        expected.sum_duplicates()
        got = read_features(given, 9)
        np.testing.assert_array_equal(got.indptr, expected.indptr)
        np.testing.assert_array_equal(got.columns, expected.indices)
        np.testing.assert_array_equal(got.values, expected.data)


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
        (lambda: torch.zeros(3, 4).to_sparse_csc(), "pass x.to_sparse_csr()"),
        (np.zeros((3, 4), complex), "expected real numbers, got complex128"),
        (np.full((3, 4), "a"), "expected real numbers, got <U1"),
        (np.full((3, 4), None), "expected real numbers, got object"),
        ([[1, 2], [3]], "cannot be read as an array"),
        (np.ma.masked_greater(with_entry(9), 8), "holds masked values, fill them in or leave them out"),
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
