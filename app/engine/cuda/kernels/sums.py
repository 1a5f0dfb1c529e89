"""Sums and maxima over the edges into each row. A program takes a row, and some of its columns."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

from .common import code, rounded


@triton.jit
def sum_rows(
    x, indptr, sources, factors, out, width, x_zero, multiplier, zero, lowest, highest,
    ACC: tl.constexpr, CODED: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums codes x [N, W] over the edges into each row -> codes out [N or G, W], or accumulators unless CODED."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < width
    first, last = tl.load(indptr + row), tl.load(indptr + row + 1)
    acc = tl.zeros((COLUMNS,), ACC)
    for start in range(first, last, EDGES):
        edge = start + tl.arange(0, EDGES)
        inside = edge < last
        source = tl.load(sources + edge, mask=inside, other=0).to(tl.int64)
        stored = tl.load(x + source[:, None] * width + column[None, :], mask=inside[:, None] & within[None, :], other=0)
        acc += tl.sum(stored.to(tl.int32), 0).to(ACC)
    acc -= ((last - first) * x_zero).to(ACC)
    if CODED:
        value = acc.to(tl.float32) * (multiplier * tl.load(factors + row))
        tl.store(out + row * width + column, code(value, zero, lowest, highest), mask=within)
    else:
        tl.store(out + row * width + column, acc, mask=within)


@triton.jit
def max_rows(x, indptr, sources, out, width, empty, EDGES: tl.constexpr, COLUMNS: tl.constexpr):
    """Writes the largest codes of x [N, W] over the edges into each row; `empty` where there are none."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < width
    first, last = tl.load(indptr + row), tl.load(indptr + row + 1)
    largest = tl.zeros((COLUMNS,), tl.int32)
    for start in range(first, last, EDGES):
        edge = start + tl.arange(0, EDGES)
        inside = edge < last
        source = tl.load(sources + edge, mask=inside, other=0).to(tl.int64)
        stored = tl.load(x + source[:, None] * width + column[None, :], mask=inside[:, None] & within[None, :], other=0)
        largest = tl.maximum(largest, tl.max(stored.to(tl.int32), 0))
    result = tl.where(last > first, largest, empty)
    tl.store(out + row * width + column, result.to(tl.uint8), mask=within)


@triton.jit
def weighted_sum(
    x, weights, indptr, sources, out, width, heads, x_zero, w_zero, w_multiplier, m_lowest, m_highest, multiplier, zero,
    lowest, highest, ACC: tl.constexpr, TABLED: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums messages of codes x [N, W] and weights [E, H] over the edges into each row -> codes out [N, W].

    A message is round(r_x * (w * w_multiplier)) within m_lowest..m_highest; TABLED: whether weights are codes.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < width
    head = column // (width // heads)
    first, last = tl.load(indptr + row), tl.load(indptr + row + 1)
    acc = tl.zeros((COLUMNS,), ACC)
    for start in range(first, last, EDGES):
        edge = start + tl.arange(0, EDGES)
        inside = (edge < last)[:, None] & within[None, :]
        source = tl.load(sources + edge, mask=edge < last, other=0).to(tl.int64)
        stored = tl.load(x + source[:, None] * width + column[None, :], mask=inside, other=0).to(tl.int32)
        weight = tl.load(weights + edge[:, None].to(tl.int64) * heads + head[None, :], mask=inside, other=0)
        if TABLED:
            weight = (weight.to(tl.int32) - w_zero).to(tl.float32)
        message = rounded((stored - x_zero).to(tl.float32) * (weight * w_multiplier), m_lowest, m_highest)
        acc += tl.sum(tl.where(inside, message, 0.0).to(tl.int32), 0).to(ACC)
    value = acc.to(tl.float32) * multiplier
    tl.store(out + row * width + column, code(value, zero, lowest, highest), mask=within)
