"""Float32 aggregation on vectors and reads of rows, which benchmarks compare with integer kernels; in no program.

No message is stored: a row of the result is summed in registers, and its bias and ReLU are applied there. Kernels
compute rows first..last-1. Rows (of a head) have at least `NARROWEST` columns.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..simd import vectors as simd
from ..simd.vectors import Vector, clamp, load, multiply_add, prefetch, store, zeros
from .common import kernel, part
from .sums import AHEAD, ask_ahead

NARROWEST = 8
"""Lanes of the smallest vector."""

WIDEST = 8 * simd.REGISTER_BITS // 32
"""Columns that are summed in one pass over the edges: they take eight registers."""

Widest, F32x16, F32x8 = (Vector("f32", lanes) for lanes in (WIDEST, 16, 8))
INFINITY = np.float32(np.inf)

LANES = 32
"""Numbers of 4 bytes that are read at once."""

I32x32 = Vector("i32", LANES)


@part
def edge_row(floats, x, factors, head, indptr, sources, bias, i, at):
    """Returns bias + sum over edges of factors [E, H] * x_source: a vector of columns, beginning at `at`."""
    width, total = x.shape[1], load(floats, bias, at)
    for e in range(indptr[i], indptr[i + 1]):
        ask_ahead(floats, x, sources, e, width, at)
        total = multiply_add(load(floats, x, np.intp(sources[e]) * width + at), factors[e, head], total)
    return total


@part
def factored_row(floats, x, factors, head, indptr, sources, bias, i, at):
    """Returns bias + factors_i * sum over edges of factors_source [N, 1] * x_source."""
    width, total = x.shape[1], zeros(floats)
    for e in range(indptr[i], indptr[i + 1]):
        ask_ahead(floats, x, sources, e, width, at)
        source = np.intp(sources[e])
        total = multiply_add(load(floats, x, source * width + at), factors[source, head], total)
    return multiply_add(total, factors[i, head], load(floats, bias, at))


@part
def own_row(floats, x, factors, head, indptr, sources, bias, i, at):
    """Returns bias + factors [1, 1] * x_i + sum over edges of x_source."""
    width = x.shape[1]
    total = multiply_add(load(floats, x, i * width + at), factors[0, head], load(floats, bias, at))
    for e in range(indptr[i], indptr[i + 1]):
        ask_ahead(floats, x, sources, e, width, at)
        total = total + load(floats, x, np.intp(sources[e]) * width + at)
    return total


@part
def aggregate(row, x, factors, indptr, sources, bias, lowest, out, first, last):
    """Computes max(row, lowest) of every row: x [N, H * C], factors [.., H], bias [H * C] -> out [N, H * C]."""
    width, heads = x.shape[1], factors.shape[1]
    channels = width // heads
    for i in range(first, last):
        for head in range(heads):
            base, j = head * channels, 0
            while j < channels:
                if channels - j >= WIDEST:
                    at = base + j
                    wide = row(Widest, x, factors, head, indptr, sources, bias, i, at)
                    store(out, i * width + at, clamp(wide, lowest, INFINITY))
                    j += WIDEST
                elif channels >= 16:
                    at = base + min(j, channels - 16)
                    small = row(F32x16, x, factors, head, indptr, sources, bias, i, at)
                    store(out, i * width + at, clamp(small, lowest, INFINITY))
                    j += 16
                else:
                    at = base + min(j, channels - 8)
                    least = row(F32x8, x, factors, head, indptr, sources, bias, i, at)
                    store(out, i * width + at, clamp(least, lowest, INFINITY))
                    j += 8


@kernel
def edge_sum(x, factors, indptr, sources, bias, lowest, out, first, last):
    """Aggregates with a factor for every edge and head; see `edge_row`."""
    aggregate(edge_row, x, factors, indptr, sources, bias, lowest, out, first, last)


@kernel
def factored_sum(x, factors, indptr, sources, bias, lowest, out, first, last):
    """Aggregates with a factor for every source and target; see `factored_row`."""
    aggregate(factored_row, x, factors, indptr, sources, bias, lowest, out, first, last)


@kernel
def own_sum(x, factors, indptr, sources, bias, lowest, out, first, last):
    """Aggregates the neighbours and the node itself, times one factor; see `own_row`."""
    aggregate(own_row, x, factors, indptr, sources, bias, lowest, out, first, last)


@kernel
def attention_logits(scores, slope, indptr, sources, out, first, last):
    """Computes leaky_relu(scores_source + scores_target) minus its maximum at the target: [N, 2 * H] -> out [E, H]."""
    heads = out.shape[1]
    for i in range(first, last):
        for h in range(heads):
            target, largest = scores[i, heads + h], np.float32(-np.inf)
            for e in range(indptr[i], indptr[i + 1]):
                value = scores[sources[e], h] + target
                value = max(value, value * slope)
                out[e, h] = value
                largest = max(largest, value)
            for e in range(indptr[i], indptr[i + 1]):
                out[e, h] -= largest


@kernel
def divide_by_sum(values, indptr, first, last):
    """Divides values [E, H], in place, by their sum over the edges into the same node plus 1e-16."""
    heads = values.shape[1]
    total = np.empty(heads, np.float32)
    for i in range(first, last):
        total[:] = np.float32(0)
        for e in range(indptr[i], indptr[i + 1]):
            for h in range(heads):
                total[h] += values[e, h]
        for e in range(indptr[i], indptr[i + 1]):
            for h in range(heads):
                values[e, h] /= total[h] + np.float32(1e-16)


@kernel
def gather_rows(x, sources, out, first, last):
    """Reads rows sources[first..last-1] of x [N, W] int32 completely; W must be a multiple of LANES.

    The lanes are added up so that the compiler cannot omit a read: LANES totals go to `out` [E + LANES], beginning at
    element `first`.
    """
    width, total = x.shape[1], zeros(I32x32)
    for e in range(first, last):
        ahead, row = np.intp(sources[min(e + AHEAD, last - 1)]) * width, np.intp(sources[e]) * width
        for j in range(0, width, LANES):
            prefetch(I32x32, x, ahead + j)
            total = total + load(I32x32, x, row + j)
    store(out, first, total)
