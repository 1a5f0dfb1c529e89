"""Sums of packed rows (ops/packed_rows.py) on vectors: computes the same as the kernels of plain.py."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..simd.narrowing import to_codes
from ..simd.vectors import Vector, least, load, load_sixteen, look_up, store, to_i32, zeros
from .common import kernel, part
from .sums import ask_ahead, scaled

NARROWEST = 16
"""Fewest bytes of a row: it is read by vectors of 64 or 16 bytes, the last of which ends where the row ends."""

FLUSH = 17
"""Number of edges whose codes, at most 15 each, can be added in a byte."""

U8x16, I32x16, F32x16 = (Vector(element, 16) for element in ("u8", "i32", "f32"))
U8x64, I32x64, F32x64 = (Vector(element, 64) for element in ("u8", "i32", "f32"))


@part
def every_row(some, x, out, half):
    """Calls some(kind, x, out, half, i, j) for vectors of bytes that cover the halves of all rows."""
    for i in range(out.shape[0]):
        if half >= 64:
            for column in range(0, half, 64):
                some(U8x64, x, out, half, i, least(column, half - 64))
        else:
            for column in range(0, half, 16):
                some(U8x16, x, out, half, i, least(column, half - 16))


@part
def pack_some(kind, codes, nibbles, half, i, j):
    """Packs the bytes of row i that begin at j."""
    low, high = load(kind, codes, 2 * half * i + j), load(kind, codes, 2 * half * i + half + j)
    store(nibbles, half * i + j, low | (high << 4))


@part
def unpack_some(kind, nibbles, codes, half, i, j):
    """Unpacks the bytes of row i that begin at j."""
    both = load(kind, nibbles, half * i + j)
    store(codes, 2 * half * i + j, both & 15)
    store(codes, 2 * half * i + half + j, both >> 4)


@kernel
def pack(codes, out):
    """Packs codes [n, W] into bytes [n, W / 2]."""
    every_row(pack_some, codes, out, out.shape[1])


@kernel
def unpack(nibbles, out):
    """Unpacks bytes [n, W / 2] into codes [n, W]."""
    every_row(unpack_some, nibbles, out, nibbles.shape[1])


@part
def write(floats, out, to, total, column, shift, multiplier, columns, factor, zero, largest):
    """Writes the codes of accumulators, beginning at `column`, to element `to` of `out`."""
    store(out, to, to_codes(scaled(floats, total + shift, multiplier, columns, factor, column), zero, largest))


@part
def codes_of(kind, codes, tables, weights, e):
    """Returns the codes as they are, for a sum."""
    return codes


@part
def messages_of(kind, codes, tables, weights, e):
    """Returns the messages of codes, from the table of the edge's weight."""
    return look_up(load_sixteen(kind, tables, np.intp(weights[e]) * 16), codes)


@part
def add_up(
    kind, words, floats, terms, x, tables, weights, sources, first, last, offset, out, to,
    shift, multiplier, columns, factor, zero, largest,
):  # fmt: skip
    """Sums `terms` of the codes of a row over edges first..last-1: a vector of bytes that begins at `offset`."""
    half, low, high = x.shape[1], zeros(words), zeros(words)
    while first < last:
        stop = least(last, first + FLUSH)
        some, more = zeros(kind), zeros(kind)
        for e in range(first, stop):
            ask_ahead(kind, x, sources, e, half, offset)
            both = load(kind, x, np.intp(sources[e]) * half + offset)
            some = some + terms(kind, both & 15, tables, weights, e)
            more = more + terms(kind, both >> 4, tables, weights, e)
        low, high, first = low + to_i32(some), high + to_i32(more), stop
    write(floats, out, to, low, offset, shift, multiplier, columns, factor, zero, largest)
    write(floats, out, to + half, high, offset + half, shift, multiplier, columns, factor, zero, largest)


@kernel
def sum_nibbles(x, x_zero, indptr, sources, multiplier, columns, factors, zero, lowest, highest, out):
    """Sums packed rows over the edges into each node -> out [N, W]; factors [N]: of every multiplier."""
    half, code_zero, largest = x.shape[1], np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        edges = x, None, None, sources, begin, end
        epilogue = -np.int32((end - begin) * x_zero), multiplier, columns, factors[i], code_zero, largest
        if half >= 64:
            for column in range(0, half, 64):
                j = least(column, half - 64)
                add_up(U8x64, I32x64, F32x64, codes_of, *edges, j, out, 2 * half * i + j, *epilogue)
        else:
            for column in range(0, half, 16):
                j = least(column, half - 16)
                add_up(U8x16, I32x16, F32x16, codes_of, *edges, j, out, 2 * half * i + j, *epilogue)


@kernel
def sum_nibble_messages(x, tables, weights, indptr, sources, m_lowest, multiplier, columns, zero, lowest, highest, out):
    """Sums the messages of packed rows over the edges into each node -> out [N, W]; see the plain kernel."""
    half, code_zero, largest = x.shape[1], np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        edges = x, tables, weights, sources, begin, end
        epilogue = np.int32((end - begin) * m_lowest), multiplier, columns, np.float32(1), code_zero, largest
        if half >= 64:
            for column in range(0, half, 64):
                j = least(column, half - 64)
                add_up(U8x64, I32x64, F32x64, messages_of, *edges, j, out, 2 * half * i + j, *epilogue)
        else:
            for column in range(0, half, 16):
                j = least(column, half - 16)
                add_up(U8x16, I32x16, F32x16, messages_of, *edges, j, out, 2 * half * i + j, *epilogue)
