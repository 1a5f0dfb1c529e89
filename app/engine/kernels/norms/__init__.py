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
def row_total(x, i, values, shares, centre, power):
    """Returns the sum of (value - shares [W] * centre)^power, power 1 or 2, over the columns of row i of x.

    Four sums are formed at once, so that none waits for the one before.
    """
    width, totals = x.shape[1], (0.0, 0.0, 0.0, 0.0)
    first, second, third, fourth = totals
    done = width - width % 4
    for j in range(0, done, 4):
        a = values[x[i, j]] - shares[j] * centre
        b = values[x[i, j + 1]] - shares[j + 1] * centre
        c = values[x[i, j + 2]] - shares[j + 2] * centre
        d = values[x[i, j + 3]] - shares[j + 3] * centre
        first += a * a if power == 2 else a
        second += b * b if power == 2 else b
        third += c * c if power == 2 else c
        fourth += d * d if power == 2 else d
    for j in range(done, width):
        a = values[x[i, j]] - shares[j] * centre
        first += a * a if power == 2 else a
    return (first + second) + (third + fourth)


@kernel
def statistics(x, values, ends, nodes, shares, centre, power, out):
    """Writes the means of (value - shares [W] * centre [G, K])^power over each group of rows of codes x [N, W].

    values: of all codes; power: 1 or 2; out [G, K]; 0 where a group is empty.
    """
    width, per_column = x.shape[1], out.shape[1] > 1
    for g in range(out.shape[0]):
        out[g, :] = 0.0
        for k in range(ends[g], ends[g + 1]):
            i = nodes[k]
            if not per_column:
                out[g, 0] += row_total(x, i, values, shares, centre[g, 0], power)
                continue
            for j in range(width):
                distance = values[x[i, j]] - shares[j] * centre[g, j]
                out[g, j] += distance * distance if power == 2 else distance
        out[g, :] /= max(ends[g + 1] - ends[g], 1) * (1 if per_column else width)


@part
def value(stored, zero, scale):
    """Returns what a code stands for: float32, as dequantize computes it, in float64."""
    return np.float64(np.float32(np.int32(stored) - np.int32(zero)) * scale)


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
