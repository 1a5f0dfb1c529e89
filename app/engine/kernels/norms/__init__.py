"""Kernels that normalise rows by statistics: loops in float64 that any CPU runs.

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


@part
def row_total(x, i, x_zero, scale, shares, centre, power):
    """Returns the sum of (value - shares [W] * centre)^power, power 1 or 2, over the columns of row i of codes x.

    Four sums are formed at once, so that none waits for the one before.
    """
    first, second, third, fourth = np.float64(0), np.float64(0), np.float64(0), np.float64(0)
    done = x.shape[1] - x.shape[1] % 4
    for j in range(0, done, 4):
        a = value(x[i, j], x_zero, scale) - shares[j] * centre
        b = value(x[i, j + 1], x_zero, scale) - shares[j + 1] * centre
        c = value(x[i, j + 2], x_zero, scale) - shares[j + 2] * centre
        d = value(x[i, j + 3], x_zero, scale) - shares[j + 3] * centre
        first += a * a if power == 2 else a
        second += b * b if power == 2 else b
        third += c * c if power == 2 else c
        fourth += d * d if power == 2 else d
    for j in range(done, x.shape[1]):
        a = value(x[i, j], x_zero, scale) - shares[j] * centre
        first += a * a if power == 2 else a
    return (first + second) + (third + fourth)


@kernel
def statistics(x, x_zero, scale, ends, nodes, shares, centre, power, out):
    """Writes the means of (value - shares [W] * centre [G, K])^power over each group of rows of codes x [N, W].

    power: 1 or 2; out [G, K]; 0 where a group is empty.
    """
    width, per_column = x.shape[1], out.shape[1] > 1
    for g in range(out.shape[0]):
        out[g, :] = 0.0
        for k in range(ends[g], ends[g + 1]):
            i = nodes[k]
            if not per_column:
                out[g, 0] += row_total(x, i, x_zero, scale, shares, centre[g, 0], power)
                continue
            for j in range(width):
                distance = value(x[i, j], x_zero, scale) - shares[j] * centre[g, j]
                out[g, j] += distance * distance if power == 2 else distance
        out[g, :] /= max(ends[g + 1] - ends[g], 1) * (1 if per_column else width)


@kernel
def normalize_rows(x, x_zero, scale, shares, of_length, eps, weight, bias, out_scale, zero, lowest, highest, out):
    """Normalises every row of codes x [n, W] by itself -> codes out [n, W]; see `normalize`.

    of_length: 1: to length one, of which rows shorter than eps fall short; 0: by mean and deviation.
    """
    width = x.shape[1]
    for i in range(x.shape[0]):
        centre = np.float64(0) if of_length else row_total(x, i, x_zero, scale, shares, np.float64(0), 1) / width
        squares = row_total(x, i, x_zero, scale, shares, centre, 2) / width
        divisor = np.sqrt(squares * width) if of_length else np.sqrt(squares + eps)
        factor = 1 / (eps if of_length and divisor < eps else divisor)
        for j in range(width):
            distance = value(x[i, j], x_zero, scale) - shares[j] * centre
            out[i, j] = code(np.float32(distance * factor * weight[j] + bias[j]) / out_scale, zero, lowest, highest)


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
