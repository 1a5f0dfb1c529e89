"""Kernels that normalise rows by their own statistics: loops in float64 that any CPU runs.

Groups of rows are given as `nodes`, grouped: those of group g are nodes[ends[g]:ends[g + 1]]. Statistics [G, K] have
one column, or one for each of the rows' W columns. See kernels/common.py for the other conventions.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..common import code, kernel, part


@part
def value(stored, zero, scale):
    """Returns what a code stands for: float32, as dequantize computes it, in float64."""
    return np.float64(np.float32(np.int32(stored) - np.int32(zero)) * scale)


@kernel
def means(x, x_zero, scale, ends, nodes, out):
    """Writes the means of the values of codes x [N, W] over each group to out [G, K]; 0 where a group is empty."""
    width, step = x.shape[1], np.intp(out.shape[1] > 1)
    for g in range(out.shape[0]):
        out[g, :] = 0.0
        for k in range(ends[g], ends[g + 1]):
            for j in range(width):
                out[g, j * step] += value(x[nodes[k], j], x_zero, scale)
        out[g, :] /= max(ends[g + 1] - ends[g], 1) * (1 if step else width)


@kernel
def mean_squares(x, x_zero, scale, ends, nodes, shares, centre, out):
    """Writes the means of (value - shares [W] * centre [G, K])^2 over each group to out [G, K]."""
    width, step = x.shape[1], np.intp(out.shape[1] > 1)
    for g in range(out.shape[0]):
        out[g, :] = 0.0
        for k in range(ends[g], ends[g + 1]):
            for j in range(width):
                distance = value(x[nodes[k], j], x_zero, scale) - shares[j] * centre[g, j * step]
                out[g, j * step] += distance * distance
        out[g, :] /= max(ends[g + 1] - ends[g], 1) * (1 if step else width)


@kernel
def normalize(x, x_zero, scale, groups, shares, centre, factors, weight, bias, out_scale, zero, lowest, highest, out):
    """Writes the codes of (value - shares * centre) * factors * weight + bias, rounded to float32, to out [n, W].

    x [n, W]; groups [n]: of every row; shares, weight, bias [W]; centre, factors [G, K].
    """
    step = np.intp(centre.shape[1] > 1)
    for i in range(out.shape[0]):
        g = groups[i]
        for j in range(out.shape[1]):
            distance = value(x[i, j], x_zero, scale) - shares[j] * centre[g, j * step]
            result = np.float32(distance * factors[g, j * step] * weight[j] + bias[j])
            out[i, j] = code(result / out_scale, zero, lowest, highest)
