"""Maxima of rows over edges on vectors: computes the same as the kernels of plain.py.

Rows have at least `sums.NARROWEST` columns, packed rows at least `nibbles.NARROWEST` bytes.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ...simd.vectors import Vector, larger, least, load, store, zeros
from ..common import kernel, part
from ..sums import ask_ahead

U8x8, U8x16, U8x32, U8x64, U8x128 = (Vector("u8", lanes) for lanes in (8, 16, 32, 64, 128))


@part
def take_largest(kind, x, empty, sources, first, last, offset, out, to):
    """Writes a vector of columns, beginning at `offset`, of the maximum over edges first..last-1 to element `to`."""
    width, best = x.shape[1], zeros(kind)
    for e in range(first, last):
        ask_ahead(kind, x, sources, e, width, offset)
        best = larger(best, load(kind, x, np.intp(sources[e]) * width + offset))
    store(out, to, best + np.int32(empty if first == last else 0))


@kernel
def max_rows(x, indptr, sources, empty, out):
    """Takes the maximum of rows over the edges into each node; see the plain kernel."""
    width = x.shape[1]
    for i in range(out.shape[0]):
        begin, end, row = indptr[i] - indptr[0], indptr[i + 1] - indptr[0], i * width
        done = width - width % 128
        for j in range(0, done, 128):
            take_largest(U8x128, x, empty, sources, begin, end, j, out, row + j)
        if width >= 32:
            for j in range(done, width, 32):
                k = least(j, width - 32)
                take_largest(U8x32, x, empty, sources, begin, end, k, out, row + k)
        else:
            for j in range(0, width, 8):
                k = least(j, width - 8)
                take_largest(U8x8, x, empty, sources, begin, end, k, out, row + k)


@part
def take_largest_nibbles(kind, x, empty, sources, first, last, offset, out, at):
    """Does the same for a vector of bytes, whose halves go to elements `at` and half a row behind it."""
    half, low, high = x.shape[1], zeros(kind), zeros(kind)
    for e in range(first, last):
        ask_ahead(kind, x, sources, e, half, offset)
        both = load(kind, x, np.intp(sources[e]) * half + offset)
        low, high = larger(low, both & 15), larger(high, both >> 4)
    start = np.int32(empty if first == last else 0)
    store(out, at, low + start)
    store(out, at + half, high + start)


@kernel
def max_nibbles(x, indptr, sources, empty, out):
    """Takes the maximum of packed rows over the edges into each node; see the plain kernel."""
    half = x.shape[1]
    for i in range(out.shape[0]):
        begin, end, row = indptr[i] - indptr[0], indptr[i + 1] - indptr[0], 2 * half * i
        if half >= 64:
            for column in range(0, half, 64):
                j = least(column, half - 64)
                take_largest_nibbles(U8x64, x, empty, sources, begin, end, j, out, row + j)
        else:
            for column in range(0, half, 16):
                j = least(column, half - 16)
                take_largest_nibbles(U8x16, x, empty, sources, begin, end, j, out, row + j)
