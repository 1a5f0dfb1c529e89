"""What kernels share: what a program takes and gathers, and the epilogue that turns accumulators into codes."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

BIG: tl.constexpr = tl.constexpr(3 * 2.0**22)
"""Adding it to a float32 below 2^22, then taking it away, rounds half to even."""


@triton.jit
def block_of(entries, BLOCK: tl.constexpr):
    """Returns the places of the entries that this program takes, int64, and which of them there are."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return place, place < entries


@triton.jit
def ends_of(sources, targets, place, inside, heads):
    """Returns source, target and head of entries [E, H]."""
    edge, head = place // heads, place % heads
    source = tl.load(sources + edge, mask=inside, other=0).to(tl.int64)
    target = tl.load(targets + edge, mask=inside, other=0).to(tl.int64)
    return source, target, head


@triton.jit
def gathered(x, source, inside, before, width, COLUMNS: tl.constexpr, PACKED: tl.constexpr):
    """Returns codes of rows x[source], columns before..before + COLUMNS: [n, COLUMNS] int32, 0 where there are none.

    PACKED: whether byte j of a row holds columns 2 j (lower half) and 2 j + 1; COLUMNS is even then.
    """
    if PACKED:
        held = width - width // 2  # of (width + 1) // 2 Triton does not know that a vector of bytes may be loaded
        byte = before // 2 + tl.arange(0, COLUMNS // 2)
        there = inside[:, None] & (byte < held)[None, :]
        pairs = tl.load(x + source[:, None] * held + byte[None, :], mask=there, other=0).to(tl.int32)
        return tl.interleave(pairs & 15, pairs >> 4)
    else:
        column = before + tl.arange(0, COLUMNS)
        there = inside[:, None] & (column < width)[None, :]
        return tl.load(x + source[:, None] * width + column[None, :], mask=there, other=0).to(tl.int32)


@triton.jit
def rounded(value, lowest, highest):
    """Returns r = c - z of the epilogue, float32. The limits are whole, so clamping first changes nothing."""
    inside = tl.minimum(tl.maximum(value, lowest), highest)
    return (inside + BIG) - BIG


@triton.jit
def code(value, zero, lowest, highest):
    """Returns the stored code of the epilogue."""
    return (rounded(value, lowest, highest).to(tl.int32) + zero).to(tl.uint8)


@triton.jit
def values_of(x, place, inside, zero, scale):
    """Returns what codes stand for: float32, in float64; 0 where there are none."""
    stored = tl.load(x + place, mask=inside, other=0).to(tl.int32) - zero
    return tl.where(inside, stored.to(tl.float32) * scale, 0.0).to(tl.float64)


@triton.jit
def code_of_normalized(distance, factor, multiplier, addend, scale, zero, lowest, highest):
    """Returns the stored codes of distance * factor * multiplier + addend, which is rounded to float32."""
    result = (distance * factor * multiplier + addend).to(tl.float32)
    return code(tl.math.div_rn(result, scale + tl.zeros_like(result)), zero, lowest, highest)


@triton.jit
def piece_of(starts, rows, slots, SPLIT: tl.constexpr):
    """Returns the row of this program's piece, its slot, its first edge and that behind its last; see sums.py."""
    piece = tl.program_id(0).to(tl.int64)
    first, last = tl.load(starts + piece), tl.load(starts + piece + 1)
    if SPLIT:
        return tl.load(rows + piece).to(tl.int64), tl.load(slots + piece).to(tl.int64), first, last
    else:
        return piece, piece * 0 - 1, first, last


@triton.jit
def edges_of(
    x, sources, start, last, before, width, EDGES: tl.constexpr, COLUMNS: tl.constexpr, PACKED: tl.constexpr
):  # fmt: skip
    """The edges from `start` on [EDGES], which of them are there (before `last`), and the codes of x that they send."""
    edge = start + tl.arange(0, EDGES)
    there = edge < last
    source = tl.load(sources + edge, mask=there, other=0).to(tl.int64)
    return edge, there, gathered(x, source, there, before, width, COLUMNS, PACKED)


@triton.jit
def pieces_of(ends, rows):
    """Returns this program's long row, the first slot of its pieces and that behind its last; see sums.py."""
    number = tl.program_id(0)
    return tl.load(rows + number).to(tl.int64), tl.load(ends + number), tl.load(ends + number + 1)


@triton.jit
def parts_of(parts, start, last, column, width, EDGES: tl.constexpr):
    """Returns what pieces gave, parts [S, W] from slot `start` on, before `last`: [EDGES, COLUMNS], 0 beyond."""
    slot = start + tl.arange(0, EDGES)
    inside = (slot < last)[:, None] & (column < width)[None, :]
    return tl.load(parts + slot[:, None].to(tl.int64) * width + column[None, :], mask=inside, other=0)


@triton.jit
def store(
    acc, out, parts, row, slot, column, width, factors, multiplier, addend, zero, lowest, highest,
    RESULT: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    """Writes the result of a row to out, and that of a piece of one to parts.

    RESULT: "codes" of acc times the multiplier times the row's factor; "codes of columns": the same where there are a
    multiplier and an addend for every column [W]; "acc": acc as it is; "largest": acc, which is a code.
    """
    place, whole = out + row * width + column, column < width
    if SPLIT:
        kept = tl.where(slot >= 0, width, 0)
        tl.store(parts + slot * width + column, acc, mask=column < kept)
        whole = column < width - kept
    if RESULT == "codes":
        value = acc.to(tl.float32) * (multiplier * tl.load(factors + row))
        tl.store(place, code(value, zero, lowest, highest), mask=whole)
    elif RESULT == "codes of columns":
        scale = tl.load(multiplier + column, mask=whole, other=0) * tl.load(factors + row)
        value = acc.to(tl.float32) * scale + tl.load(addend + column, mask=whole, other=0)
        tl.store(place, code(value, zero, lowest, highest), mask=whole)
    else:
        tl.store(place, acc.to(out.dtype.element_ty), mask=whole)
