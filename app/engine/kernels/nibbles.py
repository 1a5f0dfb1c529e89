"""Aggregation of packed rows (ops/packed_rows.py) on vectors: what plain.py computes."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..simd.narrowing import to_codes
from ..simd.vectors import Vector, load, load_sixteen, look_up, store, to_f32, to_i32, zeros
from .plain import kernel, part
from .sums import ask_ahead

NARROWEST = 16
"""Bytes of a row at least: it is read by vectors of 64 or 16 bytes, the last of which ends where the row ends."""

FLUSH = 17
"""Edges whose codes, at most 15, can be added in a byte."""

U8x16, U8x64, I32x16, I32x64 = Vector("u8", 16), Vector("u8", 64), Vector("i32", 16), Vector("i32", 64)


@part
def every_row(some, x, out, half):
    """some(kind, x, out, half, i, j) on vectors of bytes that cover the halves of all rows."""
    for i in range(out.shape[0]):
        if half >= 64:
            for column in range(0, half, 64):
                some(U8x64, x, out, half, i, min(column, half - 64))
        else:
            for column in range(0, half, 16):
                some(U8x16, x, out, half, i, min(column, half - 16))


@part
def pack_some(kind, codes, nibbles, half, i, j):
    """Bytes from j on of row i."""
    low, high = load(kind, codes, 2 * half * i + j), load(kind, codes, 2 * half * i + half + j)
    store(nibbles, half * i + j, low | (high << 4))


@part
def unpack_some(kind, nibbles, codes, half, i, j):
    """Codes of the bytes from j on of row i."""
    both = load(kind, nibbles, half * i + j)
    store(codes, 2 * half * i + j, both & 15)
    store(codes, 2 * half * i + half + j, both >> 4)


@kernel
def pack(codes, out):
    """Codes [n, W] -> bytes [n, W / 2]."""
    every_row(pack_some, codes, out, out.shape[1])


@kernel
def unpack(nibbles, out):
    """Bytes [n, W / 2] -> codes [n, W]."""
    every_row(unpack_some, nibbles, out, nibbles.shape[1])


@part
def write(out, at, total, shift, multiplier, zero, largest):
    """Accumulators -> codes from element `at` on."""
    store(out, at, to_codes(to_f32(total + shift) * multiplier, zero, largest))


@part
def themselves(kind, codes, tables, weights, e):
    """The codes that a sum adds."""
    return codes


@part
def their_messages(kind, codes, tables, weights, e):
    """What a sum of messages adds: looked up in the table of the edge's weight."""
    return look_up(load_sixteen(kind, tables, np.intp(weights[e]) * 16), codes)


@part
def add_up(
    kind, words, terms, x, tables, weights, sources, first, last, offset, out, at, shift, multiplier, zero, largest
):
    """One row: the `terms` of the codes in a vector of bytes, from `offset` on, summed over edges first..last-1."""
    half, low, high = x.shape[1], zeros(words), zeros(words)
    while first < last:
        stop = min(last, first + FLUSH)
        some, more = zeros(kind), zeros(kind)
        for e in range(first, stop):
            ask_ahead(kind, x, sources, e, half, offset)
            both = load(kind, x, np.intp(sources[e]) * half + offset)
            some = some + terms(kind, both & 15, tables, weights, e)
            more = more + terms(kind, both >> 4, tables, weights, e)
        low, high, first = low + to_i32(some), high + to_i32(more), stop
    write(out, at, low, shift, multiplier, zero, largest)
    write(out, at + half, high, shift, multiplier, zero, largest)


@kernel
def sum_nibbles(x, x_zero, indptr, sources, multipliers, zero, lowest, highest, out):
    """Packed rows summed over the edges into each node, one multiplier a row -> out [N, W]."""
    half, code_zero, largest = x.shape[1], np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        edges = x, None, None, sources, begin, end
        epilogue = -np.int32((end - begin) * x_zero), multipliers[i], code_zero, largest
        if half >= 64:
            for column in range(0, half, 64):
                j = min(column, half - 64)
                add_up(U8x64, I32x64, themselves, *edges, j, out, 2 * half * i + j, *epilogue)
        else:
            for column in range(0, half, 16):
                j = min(column, half - 16)
                add_up(U8x16, I32x16, themselves, *edges, j, out, 2 * half * i + j, *epilogue)


@kernel
def sum_nibble_messages(x, tables, weights, indptr, sources, m_lowest, multiplier, zero, lowest, highest, out):
    """Messages of packed rows summed over the edges into each node -> out [N, W]."""
    half, code_zero, largest = x.shape[1], np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        edges = x, tables, weights, sources, begin, end
        epilogue = np.int32((end - begin) * m_lowest), multiplier, code_zero, largest
        if half >= 64:
            for column in range(0, half, 64):
                j = min(column, half - 64)
                add_up(U8x64, I32x64, their_messages, *edges, j, out, 2 * half * i + j, *epilogue)
        else:
            for column in range(0, half, 16):
                j = min(column, half - 16)
                add_up(U8x16, I32x16, their_messages, *edges, j, out, 2 * half * i + j, *epilogue)
