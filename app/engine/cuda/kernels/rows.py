"""Kernels that take entry by entry."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

from .common import block_of, code


@triton.jit
def quantize(x, out, entries, scale, zero, lowest, highest, BLOCK: tl.constexpr):
    """Writes codes of float32 x."""
    place, inside = block_of(entries, BLOCK)
    value = tl.load(x + place, mask=inside, other=0.0)
    tl.store(out + place, code(tl.math.div_rn(value, scale + tl.zeros_like(value)), zero, lowest, highest), mask=inside)


@triton.jit
def pack(x, out, entries, width, held, BLOCK: tl.constexpr):
    """Writes rows of bytes [n, held], of which byte j holds codes 2 j (lower half) and 2 j + 1 of a row of x [n, W]."""
    place, inside = block_of(entries, BLOCK)
    row, column = place // held, 2 * (place % held)
    low = tl.load(x + row * width + column, mask=inside, other=0).to(tl.int32)
    high = tl.load(x + row * width + column + 1, mask=inside & (column + 1 < width), other=0).to(tl.int32)
    tl.store(out + place, (low | (high << 4)).to(tl.uint8), mask=inside)


@triton.jit
def look_up(x, table, out, entries, BLOCK: tl.constexpr):
    """Writes table[x]."""
    place, inside = block_of(entries, BLOCK)
    stored = tl.load(x + place, mask=inside, other=0).to(tl.int32)
    tl.store(out + place, tl.load(table + stored, mask=inside, other=0), mask=inside)


@triton.jit
def requantize(
    x, multipliers, addends, out, entries, width, heads, x_zero, zero, lowest, highest, BLOCK: tl.constexpr
):  # fmt: skip
    """Writes codes of the sum over heads of codes x [n, heads * width] -> out [n, width]."""
    place, inside = block_of(entries, BLOCK)
    row, column = place // width, place % width
    acc = tl.zeros((BLOCK,), tl.int32) - heads * x_zero
    for head in range(0, heads):
        acc += tl.load(x + (row * heads + head) * width + column, mask=inside, other=0).to(tl.int32)
    multiplier = tl.load(multipliers + column, mask=inside, other=0.0)
    addend = tl.load(addends + column, mask=inside, other=0.0)
    tl.store(out + place, code(acc.to(tl.float32) * multiplier + addend, zero, lowest, highest), mask=inside)


@triton.jit
def add(
    a, b, out, entries, a_zero, a_multiplier, b_zero, b_multiplier, zero, lowest, highest, BLOCK: tl.constexpr
):  # fmt: skip
    """Writes codes of r_a m_a + r_b m_b."""
    place, inside = block_of(entries, BLOCK)
    first = (tl.load(a + place, mask=inside, other=0).to(tl.int32) - a_zero).to(tl.float32) * a_multiplier
    second = (tl.load(b + place, mask=inside, other=0).to(tl.int32) - b_zero).to(tl.float32) * b_multiplier
    tl.store(out + place, code(first + second, zero, lowest, highest), mask=inside)


@triton.jit
def normalize(
    x, shares, weight, bias, out, rows, width, x_zero, x_scale, eps, scale, zero, lowest, highest,
    LENGTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Writes codes of rows of codes x [n, W], each less its mean times shares [W], over its deviation or its LENGTH."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    within = column < width
    inside = (row < rows)[:, None] & within[None, :]
    place = row[:, None] * width + column[None, :]
    stored = tl.load(x + place, mask=inside, other=0).to(tl.int32) - x_zero
    value = tl.where(inside, stored.to(tl.float32) * x_scale, 0.0).to(tl.float64)
    share = tl.load(shares + column, mask=within, other=0.0)[None, :]
    columns = tl.zeros((ROWS,), tl.float64) + width
    distance = tl.where(inside, value - share * (tl.sum(value, 1) / columns)[:, None], 0.0)
    squares = tl.sum(distance * distance, 1) / columns
    least = tl.zeros((ROWS,), tl.float64) + tl.load(eps)
    divisor = tl.maximum(tl.sqrt(squares * columns), least) if LENGTH else tl.sqrt(squares + least)
    factor = 1.0 / divisor
    multiplier = tl.load(weight + column, mask=within, other=0.0)[None, :]
    addend = tl.load(bias + column, mask=within, other=0.0)[None, :]
    result = (distance * factor[:, None] * multiplier + addend).to(tl.float32)
    codes = code(tl.math.div_rn(result, scale + tl.zeros_like(result)), zero, lowest, highest)
    tl.store(out + place, codes, mask=inside)
