"""Sums and maxima over the edges into each row. A program takes a row, or a piece of a long one, and some columns.

SPLIT: whether there are long rows. Then piece p has the edges starts[p]..starts[p + 1] into row rows[p]; slots[p] is -1
if they are all of the row's, else where the piece's result is kept in `parts` until `join` takes it. Otherwise piece p
is row p.

Every lane keeps a sum of its own through the loop, and lanes are added up once behind it: the numbers are whole, so the
order changes nothing. A piece has few edges (`LONG` of gathers.py), so that int32 holds its sum whatever ACC is.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

from .common import edges_of, parts_of, piece_of, pieces_of, rounded, store


@triton.jit
def sum_rows(
    x, starts, rows, slots, sources, out, parts, width, factors, x_zero, multiplier, addend, zero, lowest, highest,
    ACC: tl.constexpr, RESULT: tl.constexpr, SPLIT: tl.constexpr, PACKED: tl.constexpr, EDGES: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums codes x [N, W] over the edges into each row -> codes out [N or G, W], or accumulators."""
    row, slot, first, last = piece_of(starts, rows, slots, SPLIT)
    before = tl.program_id(1) * COLUMNS
    column = before + tl.arange(0, COLUMNS)
    sums = tl.zeros((EDGES, COLUMNS), tl.int32)
    for start in range(first, last, EDGES):
        _edge, _there, stored = edges_of(x, sources, start, last, before, width, EDGES, COLUMNS, PACKED)
        sums += stored
    acc = tl.sum(sums, 0).to(ACC) - ((last - first) * x_zero).to(ACC)
    store(acc, out, parts, row, slot, column, width, factors, multiplier, addend, zero, lowest, highest, RESULT, SPLIT)


@triton.jit
def max_rows(
    x, starts, rows, slots, sources, out, parts, width, empty, SPLIT: tl.constexpr, PACKED: tl.constexpr,
    EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Writes the largest codes of x [N, W] over the edges into each row; `empty` where there are none."""
    row, slot, first, last = piece_of(starts, rows, slots, SPLIT)
    before = tl.program_id(1) * COLUMNS
    column = before + tl.arange(0, COLUMNS)
    largest = tl.zeros((EDGES, COLUMNS), tl.int32)
    for start in range(first, last, EDGES):
        _edge, _there, stored = edges_of(x, sources, start, last, before, width, EDGES, COLUMNS, PACKED)
        largest = tl.maximum(largest, stored)
    result = tl.where(last > first, tl.max(largest, 0), empty)
    store(result, out, parts, row, slot, column, width, 0, 0.0, 0.0, 0, 0.0, 0.0, "largest", SPLIT)


@triton.jit
def weighted_sum(
    x, starts, rows, slots, sources, out, parts, width, factors, weights, heads, x_zero, w_zero, w_multiplier, m_lowest,
    m_highest, multiplier, addend, zero, lowest, highest, ACC: tl.constexpr, RESULT: tl.constexpr,
    TABLED: tl.constexpr, ALONE: tl.constexpr, SPLIT: tl.constexpr, PACKED: tl.constexpr, EDGES: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums messages of codes x [N, W] and weights [E, H] over the edges into each row -> codes out [N, W].

    A message is round(r_x * (w * w_multiplier)) within m_lowest..m_highest; TABLED: whether weights are codes; ALONE:
    whether H is 1, so that an edge's weight is read once and not for every column.
    """
    row, slot, first, last = piece_of(starts, rows, slots, SPLIT)
    before = tl.program_id(1) * COLUMNS
    column = before + tl.arange(0, COLUMNS)
    within = column < width
    head = column // (width // heads)
    sums = tl.zeros((EDGES, COLUMNS), tl.int32)
    for start in range(first, last, EDGES):
        edge, there, stored = edges_of(x, sources, start, last, before, width, EDGES, COLUMNS, PACKED)
        inside = there[:, None] & within[None, :]
        if ALONE:
            weight = tl.load(weights + edge, mask=there, other=0)[:, None]
        else:
            weight = tl.load(weights + edge[:, None].to(tl.int64) * heads + head[None, :], mask=inside, other=0)
        if TABLED:
            weight = (weight.to(tl.int32) - w_zero).to(tl.float32)
        message = rounded((stored - x_zero).to(tl.float32) * (weight * w_multiplier), m_lowest, m_highest)
        sums += tl.where(inside, message, 0.0).to(tl.int32)
    acc = tl.sum(sums, 0).to(ACC)
    store(acc, out, parts, row, slot, column, width, factors, multiplier, addend, zero, lowest, highest, RESULT, SPLIT)


@triton.jit
def join(
    parts, ends, rows, out, width, factors, multiplier, addend, zero, lowest, highest,
    RESULT: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Writes row rows[l] of out [N or G, W]: the sum, or the largest, of parts [S, W] from ends[l] to ends[l + 1]."""
    row, first, last = pieces_of(ends, rows)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    lanes = tl.zeros((EDGES, COLUMNS), parts.dtype.element_ty)
    for start in range(first, last, EDGES):
        found = parts_of(parts, start, last, column, width, EDGES)
        lanes = tl.maximum(lanes, found) if RESULT == "largest" else lanes + found
    acc = tl.max(lanes, 0) if RESULT == "largest" else tl.sum(lanes, 0)
    store(acc, out, parts, row, row, column, width, factors, multiplier, addend, zero, lowest, highest, RESULT, False)
