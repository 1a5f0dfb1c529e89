"""Reads node features: checks them and converts them to float32, dense or sparse.

Tensors of torch and matrices of SciPy are recognized by their attributes; neither library is imported.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .kernels.sparse import SparseRows
from .reading import as_array

Features: TypeAlias = np.ndarray | SparseRows

NOT_FINITE = "x: holds a value that is NaN or not finite in float32"
"""Message of the ops that find such a value; a separate check would cost as much as an op."""


def read_features(x: Any, in_features: int) -> Features:
    """Returns checked features: a C-ordered array, or rows without repeated cells if `x` is sparse.

    Args:
        x: NumPy array, torch tensor (dense, sparse CSR or COO) or SciPy sparse matrix of any real dtype. Of a file
            that is mapped into memory (`np.memmap`, float32 in C order) no copy is made.
        in_features: the width the program reads.

    Shapes:
        x [N, in_features].

    Raises:
        ValueError: if dtype or shape is wrong.
    """
    if type(x) is np.ndarray and x.dtype == np.float32 and x.flags.carray:  # what small calls have no time for
        _check_shape(x.shape, in_features)
        return x
    if "sparse" in str(getattr(x, "layout", "")):
        _check_shape(tuple(x.shape), in_features)
        return _read_torch(x)
    if hasattr(x, "tocsr"):
        _check_shape(x.shape, in_features)
        rows = x.tocsr()
        return _read_rows(rows.data, rows.indices, rows.indptr, rows.shape)
    array = as_array(x, "x")
    _check_shape(array.shape, in_features)
    return _writable(np.require(_to_float32(array), requirements=["C", "A"]))


class _Borrowed:
    """The memory of an array, offered as if it could be written to."""

    def __init__(self, array: np.ndarray) -> None:
        interface = array.__array_interface__
        self.array, self.__array_interface__ = array, {**interface, "data": (interface["data"][0], False)}


def _writable(array: np.ndarray) -> np.ndarray:
    """Returns an array as kernels take it, which are compiled for arrays that can be written to, and write to no input.

    So rows of a file that is mapped into memory (`np.memmap`) are read where they lie, block by block.
    """
    return array if type(array) is np.ndarray and array.flags.writeable else np.asarray(_Borrowed(array))


def read_ids(x: np.ndarray, count: int) -> np.ndarray:
    """Returns the ids in x [N, 1] as int64 [N].

    Raises:
        ValueError: if one of them is no whole number from 0 to count - 1.
    """
    wrong = (x != np.rint(x)) | (x < 0) | (x >= count)
    if wrong.any():
        raise ValueError(f"x: expected whole numbers from 0 to {count - 1}, got {x[wrong][0]:g}")
    return x[:, 0].astype(np.int64)


def _read_torch(x: Any) -> SparseRows:
    if str(x.layout).endswith("sparse_coo"):
        entries = x.detach().coalesce()
        rows, columns = as_array(entries.indices(), "x")
        indptr = np.searchsorted(rows, np.arange(x.shape[0] + 1))  # coalesced entries are in order of their rows
        return _read_rows(as_array(entries.values(), "x"), columns, indptr, tuple(x.shape))
    if not str(x.layout).endswith("sparse_csr"):
        raise ValueError(f"x: a tensor of layout {x.layout} is not read, pass x.to_sparse_csr()")
    values, columns, indptr = (as_array(part, "x") for part in (x.values(), x.col_indices(), x.crow_indices()))
    return _read_rows(values, columns, indptr, tuple(x.shape))


def _read_rows(data: np.ndarray, columns: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]) -> SparseRows:
    """Returns checked rows; entries of the same cell are added up."""
    values = _to_float32(data)
    _check_rows(values, columns, indptr, shape)
    stored = int(indptr[-1])
    ends, cells = indptr.astype(np.int64), columns[:stored].astype(np.int32)
    falls = np.flatnonzero(np.diff(cells) <= 0) + 1
    if not (ends[np.searchsorted(ends, falls)] == falls).all():  # columns that do not rise within a row
        return _without_repetitions(values[:stored], cells, ends, shape)
    return SparseRows(shape[1], 0, ends, cells, np.require(values[:stored], requirements=["C", "W"]))


def _check_rows(values: np.ndarray, columns: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the arrays are those of a CSR matrix of this shape."""
    where = "x: not a valid sparse matrix"
    if columns.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        raise ValueError(f"{where}: its indices are {columns.dtype} and {indptr.dtype}, not whole numbers")
    if indptr.shape != (shape[0] + 1,) or columns.ndim != 1 or columns.shape != values.shape:
        raise ValueError(f"{where}: its arrays do not have the sizes of one")
    if indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any() or indptr[-1] > columns.size:
        raise ValueError(f"{where}: its row pointers do not rise from 0 to the number of entries")
    if columns.size and (columns.min() < 0 or columns.max() >= shape[1]):
        wrong = columns.min() if columns.min() < 0 else columns.max()
        raise ValueError(f"{where}: column {wrong} is outside 0..{shape[1] - 1}")


def _without_repetitions(
    values: np.ndarray, columns: np.ndarray, indptr: np.ndarray, shape: tuple[int, ...]
) -> SparseRows:
    """Returns rows with rising columns, and with entries of the same cell added up."""
    cells = np.repeat(np.arange(shape[0]), np.diff(indptr)) * shape[1] + columns
    order = np.argsort(cells, kind="stable")
    cells, first = np.unique(cells[order], return_index=True)
    rows, columns = np.divmod(cells, shape[1])
    ends = np.searchsorted(rows, np.arange(shape[0] + 1))
    return SparseRows(shape[1], 0, ends, columns.astype(np.int32), np.add.reduceat(values[order], first))


def _check_shape(shape: tuple[int, ...], in_features: int) -> None:
    if len(shape) != 2 or shape[1] != in_features:
        raise ValueError(f"x: expected shape [N, {in_features}], got {list(shape)}")


def _to_float32(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"x: expected real numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)
