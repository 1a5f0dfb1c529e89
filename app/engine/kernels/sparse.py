"""Sparse rows of codes, and kernels that compute only the entries they store.

A quantizer maps zero to the zero point exactly, and so does every op here: entries that are not stored are at the zero
point of their value.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .common import code, kernel

SPARSE_BELOW = 0.1
"""Share of stored entries up to which rows stay sparse: a stored entry costs about ten times a dense one."""


SAMPLED_ROWS = 256
"""Number of rows that are sampled; if they are not sparse, the others are not looked at."""


@dataclass(frozen=True)
class SparseRows:
    """A matrix [N, width] whose entries are `fill` unless they are stored.

    Shapes:
        indptr [N + 1] int64, columns [nnz] int32, at most one entry a cell; values [nnz] float32 or uint8.
    """

    width: int
    fill: int
    indptr: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        """N."""
        return self.indptr.size - 1

    def with_values(self, values: np.ndarray, fill: int) -> SparseRows:
        """Returns rows that store other values in the same cells."""
        return replace(self, values=values, fill=fill)

    def dense(self) -> np.ndarray:
        """Returns all entries [N, width]."""
        out = np.full((len(self), self.width), self.fill, self.values.dtype)
        out[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.columns] = self.values
        return out


def densified(value: Any) -> Any:
    """Returns all entries of sparse rows; returns other values as they are."""
    return value.dense() if isinstance(value, SparseRows) else value


def is_sparse_enough(stored: int, rows: int, width: int) -> bool:
    """Returns whether `stored` entries of a matrix [rows, width] are few enough to stay sparse."""
    return stored <= SPARSE_BELOW * rows * width


def compress(x: np.ndarray) -> np.ndarray | SparseRows:
    """Returns x [N, F] as sparse rows if few entries differ from zero, else as it is."""
    if not x.shape[1]:
        return x
    sample = x[:: max(len(x) // SAMPLED_ROWS, 1)]
    if not is_sparse_enough(np.count_nonzero(sample) // 2, *sample.shape):
        return x
    indptr, columns, values = take_nonzeros(x, int(SPARSE_BELOW * x.size))
    return x if indptr[-1] < 0 else SparseRows(x.shape[1], 0, indptr, columns, values)


BLOCK = 32
"""Entries that are tested at once: in a bag of words most blocks are empty, which one vector OR finds out."""


@kernel
def take_nonzeros(x, capacity):
    """Returns the entries of x [N, F] that are not zero as CSR; indptr[-1] is -1 if there are more than `capacity`."""
    rows, width = x.shape
    all_bits = x.view(np.int32)
    indptr = np.zeros(rows + 1, np.int64)
    columns = np.empty(capacity, np.int32)
    values = np.empty(capacity, np.float32)
    n = 0
    for i in range(rows):
        row = x[i]
        for first in range(0, width, BLOCK):
            block = row[first : min(first + BLOCK, width)]
            nonzero = np.int32(block.size < BLOCK)
            if not nonzero:
                bits = all_bits[i, first : first + BLOCK]
                for j in range(BLOCK):  # of constant length and on integers, or it is not vectorised
                    nonzero |= bits[j]
            if nonzero:
                for j in range(block.size):
                    if block[j] != 0:
                        if n == capacity:
                            indptr[rows] = -1
                            return indptr, columns, values
                        columns[n] = first + j
                        values[n] = block[j]
                        n += 1
        indptr[i + 1] = n
    return indptr, columns[:n].copy(), values[:n].copy()


@kernel
def sparse_linear(
    accumulator, x_indptr, columns, codes, x_zero, weight, factors, multipliers, addend, zero, lowest, highest
):
    """Does the same as `plain.linear` for sparse x; returns codes [N, M]."""
    rows, width = factors.size, weight.shape[1]
    out = np.empty((rows, width), np.uint8)
    acc = np.empty(width, accumulator)
    for i in range(rows):
        acc[:] = 0
        for p in range(x_indptr[i], x_indptr[i + 1]):
            r = np.int32(codes[p]) - np.int32(x_zero)
            column = columns[p]
            for j in range(width):
                acc[j] += r * np.int32(weight[column, j])
        for j in range(width):
            out[i, j] = code(np.float32(acc[j]) * (multipliers[j] * factors[i]) + addend[j], zero, lowest, highest)
    return out


@kernel
def sum_bound(x_indptr, indptr, sources):
    """Returns an upper bound on the entries that the sum of sparse rows over edges stores."""
    bound = 0
    for e in range(indptr[-1]):
        bound += x_indptr[sources[e] + 1] - x_indptr[sources[e]]
    return bound


@kernel
def sparse_sum(
    accumulator, x_indptr, columns, codes, x_zero, width,
    indptr, sources, multiplier, factors, bound, zero, lowest, highest,
):  # fmt: skip
    """Does the same as `plain.sum_rows` for sparse x; returns indptr, columns and codes of the sparse result."""
    rows = factors.size
    out_indptr = np.zeros(rows + 1, np.int64)
    out_columns = np.empty(bound, np.int32)
    out_codes = np.empty(bound, np.uint8)
    acc = np.zeros(width, accumulator)
    row_of = np.full(width, -1, np.int64)
    n = 0
    for i in range(rows):
        first = n
        for e in range(indptr[i], indptr[i + 1]):
            for p in range(x_indptr[sources[e]], x_indptr[sources[e] + 1]):
                column = columns[p]
                if row_of[column] != i:
                    row_of[column] = i
                    acc[column] = 0
                    out_columns[n] = column
                    n += 1
                acc[column] += np.int32(codes[p]) - np.int32(x_zero)
        for p in range(first, n):
            out_codes[p] = code(np.float32(acc[out_columns[p]]) * (multiplier * factors[i]), zero, lowest, highest)
        out_indptr[i + 1] = n
    return out_indptr, out_columns[:n].copy(), out_codes[:n].copy()


@kernel
def sparse_add(
    a_indptr, a_columns, a_codes, b_indptr, b_columns, b_codes, width,
    a_zero, b_zero, a_multiplier, b_multiplier, zero, lowest, highest,
):  # fmt: skip
    """Does the same as `plain.add` for sparse a and b [N, width]; returns indptr, columns and codes of the result."""
    rows = a_indptr.size - 1
    out_indptr = np.zeros(rows + 1, np.int64)
    out_columns = np.empty(a_codes.size + b_codes.size, np.int32)
    out_codes = np.empty(a_codes.size + b_codes.size, np.uint8)
    value = np.zeros(width, np.float32)
    row_of = np.full(width, -1, np.int64)
    n = 0
    for i in range(rows):
        first = n
        for p in range(a_indptr[i], a_indptr[i + 1]):
            column = a_columns[p]
            row_of[column] = i
            value[column] = np.float32(np.int32(a_codes[p]) - np.int32(a_zero)) * a_multiplier
            out_columns[n] = column
            n += 1
        for p in range(b_indptr[i], b_indptr[i + 1]):
            column = b_columns[p]
            if row_of[column] != i:
                value[column] = np.float32(0)
                out_columns[n] = column
                n += 1
            value[column] += np.float32(np.int32(b_codes[p]) - np.int32(b_zero)) * b_multiplier
        for p in range(first, n):
            out_codes[p] = code(value[out_columns[p]], zero, lowest, highest)
        out_indptr[i + 1] = n
    return out_indptr, out_columns[:n].copy(), out_codes[:n].copy()
