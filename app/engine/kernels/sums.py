"""Sums of rows and messages over edges on vectors: computes the same as the kernels of plain.py.

Rows (of a head) have at least `NARROWEST` columns.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def"
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..simd.narrowing import narrow, to_codes, widen
from ..simd.vectors import Vector, clamp, least, load, load_four, prefetch, reinterpret, store, to_f32, to_i32, zeros
from .common import kernel, part, place_by_fours

NARROWEST = 8
"""Fewest columns: a row is read by vectors of 128, 64, 32 or 8 bytes, the last of which ends where the row ends."""

AHEAD = 16
"""Number of edges between the prefetch of a row and its use: memory takes 100 ns, an edge 5 to 25."""

FLUSH = 256
"""Number of edges whose bytes can be added in 16 bits."""

NARROW_FLUSH = 128
"""Number of message codes, at most 255 from their zero point, whose sum fits 16 bits with its sign."""

LARGEST_FACTOR = 2.0**23
"""An i32 holds 255 times this factor; with larger ones a message could get the wrong sign."""

U8x8, U8x16, U8x64, U8x128 = (Vector("u8", lanes) for lanes in (8, 16, 64, 128))
U16x4, U16x64 = (Vector("u16", lanes) for lanes in (4, 64))
I16x64, I16x128 = (Vector("i16", lanes) for lanes in (64, 128))
I32x2, I32x8, I32x16, I32x32, I32x64, I32x128 = (Vector("i32", lanes) for lanes in (2, 8, 16, 32, 64, 128))
F32x2, F32x8, F32x16, F32x32, F32x64, F32x128 = (Vector("f32", lanes) for lanes in (2, 8, 16, 32, 64, 128))


@part
def ask_ahead(kind, x, sources, e, width, offset):
    """Prefetches what edge e + AHEAD will load: the columns of its source that begin at `offset`."""
    prefetch(kind, x, np.intp(sources[least(e + AHEAD, sources.size - 1)]) * width + offset)


@part
def codes(total, multiplier, zero, lowest, highest):
    """Returns the codes, i32, of accumulators i32: the epilogue without columns."""
    return to_i32(clamp(to_f32(total) * multiplier, lowest, highest)) + zero


@part
def scaled(floats, total, multiplier, columns, factor, at):
    """Returns accumulators times their multipliers, and what is added; those of columns begin at element `at`."""
    if columns is None:
        return to_f32(total) * (multiplier * factor)
    return to_f32(total) * (load(floats, columns, at) * factor) + load(floats, columns, columns.shape[1] + at)


@part
def codes_of_fours(floats, total, multiplier, columns, factor, column, zero, lowest, highest):
    """Returns the codes, i32, of accumulators of every fourth column, beginning at `column`."""
    value = scaled(floats, total, multiplier, columns, factor, place_by_fours(column, columns))
    return to_i32(clamp(value, lowest, highest)) + zero


@part
def sum_bytes(
    bytes_, pairs, words, floats, x, sources, first, last, offset, out, to, x_zero,
    multiplier, columns, factor, zero, lowest, highest,
):  # fmt: skip
    """Sums a vector of columns, beginning at `offset`, over edges first..last-1; writes it to element `to` of `out`.

    Bytes are read in pairs, as 16-bit numbers odd * 256 + even. `everything` is the sum of these numbers and `odd` the
    sum of their upper halves, so even = everything - odd * 256. Lane i of a, b, c and d belongs to columns 4 i,
    4 i + 1, 4 i + 2 and 4 i + 3.
    """
    width = x.shape[1]
    shift = np.int32((last - first) * x_zero)
    a, b, c, d = zeros(words) - shift, zeros(words) - shift, zeros(words) - shift, zeros(words) - shift
    while first < last:
        stop = least(last, first + FLUSH)
        everything, odd = zeros(pairs), zeros(pairs)
        for e in range(first, stop):
            ask_ahead(bytes_, x, sources, e, width, offset)
            v = reinterpret(pairs, load(bytes_, x, np.intp(sources[e]) * width + offset))
            everything = everything + v
            odd = odd + (v >> 8)
        even = reinterpret(words, everything - (odd << 8))
        upper = reinterpret(words, odd)
        a, c = a + (even & 0xFFFF), c + ((even >> 16) & 0xFFFF)
        b, d = b + (upper & 0xFFFF), d + ((upper >> 16) & 0xFFFF)
        first = stop
    a = codes_of_fours(floats, a, multiplier, columns, factor, offset, zero, lowest, highest)
    b = codes_of_fours(floats, b, multiplier, columns, factor, offset + 1, zero, lowest, highest)
    c = codes_of_fours(floats, c, multiplier, columns, factor, offset + 2, zero, lowest, highest)
    d = codes_of_fours(floats, d, multiplier, columns, factor, offset + 3, zero, lowest, highest)
    store(out, to, a | (b << 8) | (c << 16) | (d << 24))


@lru_cache
def sum_rows(*, wide: bool, rest: int) -> Callable[..., None]:
    """Returns the kernel that sums rows of at least 32 columns; `sum_short_rows` takes shorter ones.

    Args:
        wide: whether rows have 128 columns.
        rest: columns that are summed at once beyond them, 32 or 64, no more than rows have; 0: there are no others.
            What a row has not is not compiled.
    """
    kinds = Vector("u8", rest), Vector("u16", rest // 2), Vector("i32", rest // 4), Vector("f32", rest // 4)

    @kernel
    def add_up(x, x_zero, indptr, sources, multiplier, columns, factors, zero, lowest, highest, out):
        """Sums rows of codes x [N, W] over the edges into each node -> out [N, W]; factors [N]: of every multiplier."""
        width = x.shape[1]
        done = width - width % 128
        for i in range(out.shape[0]):
            begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
            constants = x_zero, multiplier, columns, factors[i], zero, lowest, highest
            row = i * width
            if wide:
                for j in range(0, done, 128):
                    sum_bytes(U8x128, U16x64, I32x32, F32x32, x, sources, begin, end, j, out, row + j, *constants)
            if rest:
                for j in range(done, width, rest):
                    k = least(j, width - rest)
                    sum_bytes(*kinds, x, sources, begin, end, k, out, row + k, *constants)

    return add_up


@kernel
def sum_short_rows(x, x_zero, indptr, sources, multiplier, columns, factors, zero, lowest, highest, out):
    """Does the same for rows of any width from 8 on."""
    width = x.shape[1]
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        constants = x_zero, multiplier, columns, factors[i], zero, lowest, highest
        for j in range(0, width, 8):
            k = least(j, width - 8)
            sum_bytes(U8x8, U16x4, I32x2, F32x2, x, sources, begin, end, k, out, i * width + k, *constants)


@part
def write(floats, total, out, to, column, multiplier, columns, zero, largest):
    """Writes the codes of accumulators, beginning at `column`, to element `to` of `out`."""
    store(out, to, to_codes(scaled(floats, total, multiplier, columns, np.float32(1), column), zero, largest))


@part
def message(kind, x, at, x_zero, factor, lowest, highest):
    """Returns narrowed message codes minus their zero point, from element `at` on; `factor`: number or vector."""
    r = to_f32(to_i32(load(kind, x, at)) - x_zero)
    return clamp(narrow(to_i32(r * factor)), lowest, highest)


@part
def sum_messages(kind, words, halves, x, x_zero, factors, scale, head, sources, first, last, offset, lowest, highest):
    """Rounds messages and returns their sums: a vector of columns of one head, beginning at `offset`."""
    width, total = x.shape[1], zeros(words)
    while first < last:
        stop = least(last, first + NARROW_FLUSH)
        some = zeros(halves)
        for e in range(first, stop):
            ask_ahead(kind, x, sources, e, width, offset)
            at = np.intp(sources[e]) * width + offset
            some = some + message(kind, x, at, x_zero, factors[e, head] * scale, lowest, highest)
        total, first = total + widen(some), stop
    return total


@part
def sum_short_messages(kind, words, x, x_zero, factors, scale, head, sources, first, last, offset, lowest, highest):
    """Does the same as `sum_messages` for vectors that are too short to be narrowed."""
    width, total = x.shape[1], zeros(words)
    low, high = np.float32(lowest), np.float32(highest)
    for e in range(first, last):
        r = to_f32(to_i32(load(kind, x, np.intp(sources[e]) * width + offset)) - x_zero)
        total = total + to_i32(clamp(r * (factors[e, head] * scale), low, high))
    return total


@part
def sum_messages_of_heads(x, x_zero, factors, scale, channels, sources, first, last, offset, lowest, highest):
    """Does the same as `sum_messages` for 64 columns, of which every 16 belong to one head."""
    width, heads, total = x.shape[1], factors.shape[1], zeros(I32x64)
    a, b = offset // channels, (offset + 16) // channels
    c, d = (offset + 32) // channels, (offset + 48) // channels
    while first < last:
        stop = least(last, first + NARROW_FLUSH)
        some = zeros(I16x64)
        for e in range(first, stop):
            ask_ahead(U8x64, x, sources, e, width, offset)
            factor = load_four(F32x64, factors, e * heads + a, e * heads + b, e * heads + c, e * heads + d)
            at = np.intp(sources[e]) * width + offset
            some = some + message(U8x64, x, at, x_zero, factor * scale, lowest, highest)
        total, first = total + widen(some), stop
    return total


@lru_cache
def weighted_sum(*, wide: bool, narrow: bool) -> Callable[..., None]:
    """Returns the kernel that sums messages of heads of at least 64 columns; the kernels below take others.

    Args:
        wide: whether heads have 128 columns.
        narrow: whether there are others.
    """

    @kernel
    def add_up(
        x, x_zero, factors, scale, indptr, sources, m_lowest, m_highest, multiplier, columns, zero, lowest, highest, out
    ):
        """Sums messages of codes x [N, H * C] and factors [E, H] over the edges into each node -> out [N, H * C]."""
        heads, width = factors.shape[1], x.shape[1]
        channels = width // heads
        done = channels - channels % 128
        limits = np.int32(m_lowest), np.int32(m_highest)
        ends = multiplier, columns, np.int32(zero), np.int32(highest) + np.int32(zero)
        for i in range(out.shape[0]):
            begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
            for head in range(heads):
                base = head * channels
                of_head = x, x_zero, factors, scale, head, sources, begin, end
                if wide:
                    for j in range(0, done, 128):
                        most = sum_messages(U8x128, I32x128, I16x128, *of_head, base + j, *limits)
                        write(F32x128, most, out, i * width + base + j, base + j, *ends)
                if narrow:
                    for j in range(done, channels, 64):
                        at = base + least(j, channels - 64)
                        total = sum_messages(U8x64, I32x64, I16x64, *of_head, at, *limits)
                        write(F32x64, total, out, i * width + at, at, *ends)

    return add_up


@kernel
def weighted_sum_of_sixteens(
    x, x_zero, factors, scale, indptr, sources, m_lowest, m_highest, multiplier, columns, zero, lowest, highest, out
):
    """Does the same as `weighted_sum` for heads of 16, 32 or 48 columns and rows of a multiple of 64."""
    width = x.shape[1]
    channels = width // factors.shape[1]
    limits = np.int32(m_lowest), np.int32(m_highest)
    ends = multiplier, columns, np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        for j in range(0, width, 64):
            several = sum_messages_of_heads(x, x_zero, factors, scale, channels, sources, begin, end, j, *limits)
            write(F32x64, several, out, i * width + j, j, *ends)


@kernel
def weighted_sum_of_short_heads(
    x, x_zero, factors, scale, indptr, sources, m_lowest, m_highest, multiplier, columns, zero, lowest, highest, out
):
    """Does the same as `weighted_sum` for heads of any width from 8 on."""
    heads, width = factors.shape[1], x.shape[1]
    channels = width // heads
    limits = np.int32(m_lowest), np.int32(m_highest)
    ends = multiplier, columns, np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        for head in range(heads):
            base = head * channels
            of_head = x, x_zero, factors, scale, head, sources, begin, end
            if channels >= 16:
                for j in range(0, channels, 16):
                    at = base + least(j, channels - 16)
                    small = sum_short_messages(U8x16, I32x16, *of_head, at, *limits)
                    write(F32x16, small, out, i * width + at, at, *ends)
            else:
                for j in range(0, channels, 8):
                    at = base + least(j, channels - 8)
                    smallest = sum_short_messages(U8x8, I32x8, *of_head, at, *limits)
                    write(F32x8, smallest, out, i * width + at, at, *ends)
