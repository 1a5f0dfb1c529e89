"""Elementwise kernels on vectors: compute the same as the kernels of plain.py."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..simd.narrowing import to_codes
from ..simd.vectors import (
    Vector,
    least,
    load,
    load_sixteen,
    look_up,
    prefetch,
    reinterpret,
    store,
    sum_lanes,
    to_f32,
    to_i32,
    zeros,
)
from .common import kernel, part
from .plain import add_from, dequantize_from, lookup_from, quantize_from, rescale_from

LANES = 64
"""Numbers that are computed at once; a plain loop computes what is left at the end."""

FORWARD = 1024
"""How many float32 numbers ahead memory is prefetched."""

NARROWEST = 8
"""Fewest columns of a head."""

U8x8, I32x8, F32x8 = Vector("u8", 8), Vector("i32", 8), Vector("f32", 8)
U8, I32, F32 = Vector("u8", LANES), Vector("i32", LANES), Vector("f32", LANES)

EXPONENT, ITS_LOWEST_BIT = 0x7F800000, 0x00800000
"""Bits of a float32. Where it is not finite, its exponent is all ones; adding one makes it a negative i32."""


@part
def residuals(x, at, zero):
    """Returns codes minus their zero point, float32."""
    return to_f32(to_i32(load(U8, x, at)) - zero)


@kernel
def quantize(x, scale, zero, lowest, highest, out):
    """Writes the codes of x [n], float32, to out [n]; returns whether all of x is finite."""
    done = x.size - x.size % LANES
    shift, largest = np.int32(zero), np.int32(highest) + np.int32(zero)
    seen = zeros(I32)
    for i in range(0, done, LANES):
        prefetch(F32, x, least(i + FORWARD, done - LANES))
        value = load(F32, x, i)
        seen = seen | ((reinterpret(I32, value) & EXPONENT) + ITS_LOWEST_BIT)
        store(out, i, to_codes(value / scale, shift, largest))
    rest = quantize_from(done, x, scale, zero, lowest, highest, out)
    return rest and sum_lanes(seen >> 31) == 0  # minus the number of lanes that are negative


@kernel
def rescale(x, x_zero, multiplier, zero, lowest, highest, out):
    """Moves codes x [n] to another grid: out = code(r * multiplier)."""
    done = x.size - x.size % LANES
    shift, largest = np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(0, done, LANES):
        store(out, i, to_codes(residuals(x, i, x_zero) * multiplier, shift, largest))
    rescale_from(done, x, x_zero, multiplier, zero, lowest, highest, out)


@kernel
def lookup(codes, table, out):
    """Writes table[codes] to out [n], u8; codes have at most 4 bits, the table has 16 entries."""
    done = codes.size - codes.size % LANES
    for i in range(0, done, LANES):
        store(out, i, look_up(load_sixteen(U8, table, 0), load(U8, codes, i)))
    lookup_from(done, codes, table, out)


@kernel
def add(a, b, a_zero, b_zero, a_multiplier, b_multiplier, zero, lowest, highest, out):
    """Adds codes a and b [n], each times its multiplier -> out [n]."""
    done = a.size - a.size % LANES
    shift, largest = np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(0, done, LANES):
        total = residuals(a, i, a_zero) * a_multiplier + residuals(b, i, b_zero) * b_multiplier
        store(out, i, to_codes(total, shift, largest))
    add_from(done, a, b, a_zero, b_zero, a_multiplier, b_multiplier, zero, lowest, highest, out)


@kernel
def dequantize(x, x_zero, scale, out):
    """Writes the values of codes x [n] to out [n], float32."""
    done = x.size - x.size % LANES
    for i in range(0, done, LANES):
        prefetch(F32, out, least(i + FORWARD, done - LANES))
        store(out, i, residuals(x, i, x_zero) * scale)
    dequantize_from(done, x, x_zero, scale, out)


@kernel
def requantize(x, x_zero, multipliers, addend, zero, lowest, highest, out):
    """Moves codes x [n, W] to another grid, with a multiplier and an addend [W] for every column; W >= LANES."""
    width = x.shape[1]
    shift, largest = np.int32(zero), np.int32(highest) + np.int32(zero)
    for i in range(x.shape[0]):
        for column in range(0, width, LANES):
            j = least(column, width - LANES)
            value = residuals(x, i * width + j, x_zero) * load(F32, multipliers, j) + load(F32, addend, j)
            store(out, i * width + j, to_codes(value, shift, largest))


@part
def add_heads_at(kind, words, floats, x, shift, multipliers, addend, zero, largest, out, i, j):
    """Adds up a vector of columns, beginning at `j`, of the heads of row i."""
    columns, total = out.shape[1], zeros(words) - shift
    for at in range(i * x.shape[1] + j, (i + 1) * x.shape[1], columns):
        total = total + to_i32(load(kind, x, at))
    value = to_f32(total) * load(floats, multipliers, j) + load(floats, addend, j)
    store(out, i * columns + j, to_codes(value, zero, largest))


@kernel
def add_heads(x, x_zero, multipliers, addend, zero, lowest, highest, out):
    """Adds up the heads of codes x [n, H * C] -> out [n, C]; C >= NARROWEST. See the plain kernel."""
    width, heads = out.shape[1], x.shape[1] // out.shape[1]
    constants = multipliers, addend, np.int32(zero), np.int32(highest) + np.int32(zero)
    shift = np.int32(heads * x_zero)
    for i in range(out.shape[0]):
        if width >= LANES:
            for j in range(0, width, LANES):
                add_heads_at(U8, I32, F32, x, shift, *constants, out, i, least(j, width - LANES))
        else:
            for j in range(0, width, NARROWEST):
                add_heads_at(U8x8, I32x8, F32x8, x, shift, *constants, out, i, least(j, width - NARROWEST))
