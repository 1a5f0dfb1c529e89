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
