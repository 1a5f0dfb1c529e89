"""Reads node features: checks them and converts them to float32, dense or sparse."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, issparse

from .graph import as_array

Features: TypeAlias = np.ndarray | csr_matrix

NOT_FINITE = "x: holds a value that is NaN or not finite in float32"
"""Message of the ops that find such a value; a separate check would cost as much as an op."""


def read_features(x: Any, in_features: int) -> Features:
    """Returns checked features: a C-ordered array, or a canonical CSR matrix if `x` is sparse.

    Args:
        x: NumPy array, torch tensor (dense or sparse CSR) or SciPy sparse matrix of any real dtype.
        in_features: the width the program reads.

    Shapes:
        x [N, in_features].

    Raises:
        ValueError: if dtype or shape is wrong.
    """
    if "sparse" in str(getattr(x, "layout", "")):
        return _read_torch(x, in_features)
    if issparse(x):
        matrix: Any = x
        _check_shape(matrix.shape, in_features)
        rows = matrix.tocsr()
        return _read_rows(rows.data, rows.indices, rows.indptr, rows.shape)
    array = as_array(x, "x")
    _check_shape(array.shape, in_features)
    return np.require(_to_float32(array), requirements=["C", "W"])


def read_ids(x: np.ndarray, count: int) -> np.ndarray:
    """Returns the ids in x [N, 1] as int64 [N].

    Raises:
        ValueError: if one of them is no whole number from 0 to count - 1.
    """
    wrong = (x != np.rint(x)) | (x < 0) | (x >= count)
    if wrong.any():
        raise ValueError(f"x: expected whole numbers from 0 to {count - 1}, got {x[wrong][0]:g}")
    return x[:, 0].astype(np.int64)


def _read_torch(x: Any, in_features: int) -> csr_matrix:
    if not str(x.layout).endswith("sparse_csr"):
        raise ValueError(f"x: a tensor of layout {x.layout} is not read, pass x.to_sparse_csr()")
    _check_shape(tuple(x.shape), in_features)
    values, columns, indptr = (as_array(part, "x") for part in (x.values(), x.col_indices(), x.crow_indices()))
    return _read_rows(values, columns, indptr, tuple(x.shape))


def _read_rows(data: np.ndarray, columns: np.ndarray, indptr: np.ndarray, shape: Any) -> csr_matrix:
    """Returns a checked copy as a matrix; entries of the same cell are added up."""
    values = _to_float32(data)
    try:
        matrix = csr_matrix((values, columns, indptr), shape=shape, copy=True)
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"x: not a valid sparse matrix: {error}") from error
    matrix.sum_duplicates()
    return matrix


def _check_shape(shape: tuple[int, ...], in_features: int) -> None:
    if len(shape) != 2 or shape[1] != in_features:
        raise ValueError(f"x: expected shape [N, {in_features}], got {list(shape)}")


def _to_float32(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"x: expected real numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)
