"""Kernels that prepare float32 features as training did: plain loops, since each number is read once."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..common import kernel, part


@part
def divisor_of(total):
    """Returns what a row of this sum, float64, is divided by."""
    rounded = np.float32(total)
    return rounded if rounded != 0 else np.float32(1)


@kernel
def row_normalize(x, out):
    """Divides the rows of x [n, W] by their sums, formed in float64 from the first column on -> out [n, W]."""
    for i in range(x.shape[0]):
        total = np.float64(0)
        for j in range(x.shape[1]):
            total += np.float64(x[i, j])
        divisor = divisor_of(total)
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] / divisor


@kernel
def row_normalize_stored(indptr, x, out):
    """Does the same for rows of which x [nnz] holds the stored entries: those of row i begin at indptr[i]."""
    for i in range(indptr.size - 1):
        total = np.float64(0)
        for p in range(indptr[i], indptr[i + 1]):
            total += np.float64(x[p])
        divisor = divisor_of(total)
        for p in range(indptr[i], indptr[i + 1]):
            out[p] = x[p] / divisor


@kernel
def standardize(x, mean, deviation, out):
    """Writes (x - mean) / deviation of x [n, W] to out; mean and deviation [W], in whose dtype this is computed."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = np.float32((x[i, j] - mean[j]) / deviation[j])


@kernel
def to_floats(numbers, out):
    """Writes whole numbers [n] to out [n], float32."""
    for i in range(out.size):
        out[i] = np.float32(numbers[i])
