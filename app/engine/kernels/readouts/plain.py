"""Plain kernels of readouts; see common.py for the conventions of kernels.

Weights are float64 [K, M], in which the products of such integers and their sums are exact. Rows are graphs, few beside
the nodes.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..common import kernel


@kernel
def multiply_sums(accumulator, x, x_zero, indptr, sources, weight, factors, multipliers, addend, out):
    """Multiplies sums of rows of codes x [N, K] over the edges into each row by r_w -> out [n, M], float32.

    multipliers and addend [M]: of every column; factors [n]: of every row.
    """
    sums, acc = np.empty(x.shape[1], accumulator), np.empty(out.shape[1], np.float64)
    for i in range(out.shape[0]):
        sums[:] = (indptr[i] - indptr[i + 1]) * x_zero
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            source = sources[e]
            for k in range(sums.size):
                sums[k] += np.int32(x[source, k])
        acc[:] = 0
        for k in range(sums.size):
            total = np.float64(sums[k])
            for j in range(acc.size):
                acc[j] += total * weight[k, j]
        for j in range(acc.size):
            out[i, j] = np.float32(acc[j]) * (multipliers[j] * factors[i]) + addend[j]


@kernel
def multiply_rows(x, x_zero, weight, factors, multipliers, addend, out):
    """Multiplies codes x [n, K] by r_w -> out [n, M], float32; the rest as `multiply_sums`."""
    acc = np.empty(out.shape[1], np.float64)
    for i in range(out.shape[0]):
        acc[:] = 0
        for k in range(x.shape[1]):
            r = np.float64(np.int32(x[i, k]) - np.int32(x_zero))
            for j in range(acc.size):
                acc[j] += r * weight[k, j]
        for j in range(acc.size):
            out[i, j] = np.float32(acc[j]) * (multipliers[j] * factors[i]) + addend[j]


@kernel
def add_floats(x, out):
    """Adds x [n] to out [n], float32."""
    for i in range(out.size):
        out[i] += x[i]
