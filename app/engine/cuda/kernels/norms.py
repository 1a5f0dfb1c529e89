"""Rows that are normalised: by themselves in one kernel, or by statistics of groups of rows. All in float64.

Groups are given as `nodes`, grouped. Their rows are summed piece by piece, and the pieces of a group in their order, so
that no sum depends on chance. Statistics [G, K] have one column, or one for each of the rows' W columns.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

from .common import block_of, code_of_normalized, values_of


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
    value = values_of(x, place, inside, x_zero, x_scale)
    share = tl.load(shares + column, mask=within, other=0.0)[None, :]
    columns = tl.zeros((ROWS,), tl.float64) + width
    distance = tl.where(inside, value - share * (tl.sum(value, 1) / columns)[:, None], 0.0)
    squares = tl.sum(distance * distance, 1) / columns
    least = tl.zeros((ROWS,), tl.float64) + tl.load(eps)
    divisor = tl.maximum(tl.sqrt(squares * columns), least) if LENGTH else tl.sqrt(squares + least)
    factor = 1.0 / divisor
    multiplier = tl.load(weight + column, mask=within, other=0.0)[None, :]
    addend = tl.load(bias + column, mask=within, other=0.0)[None, :]
    codes = code_of_normalized(distance, factor[:, None], multiplier, addend, scale, zero, lowest, highest)
    tl.store(out + place, codes, mask=inside)


@triton.jit
def add_pieces(
    x, starts, groups, nodes, shares, centres, parts, width, columns, x_zero, x_scale,
    POWER: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Row p of parts [P, W] = the sum of distance^POWER over rows starts[p]..starts[p + 1] of nodes, all of one group.

    The distance of codes x [n, W] is that of their values from shares [W] * centres [G, columns]; POWER 1: from zero.
    """
    piece = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < width
    first, last = tl.load(starts + piece), tl.load(starts + piece + 1)
    taken = tl.zeros((COLUMNS,), tl.float64)
    if POWER == 2:
        of_group = tl.load(groups + piece).to(tl.int64) * columns + tl.minimum(column, columns - 1)
        taken = tl.load(shares + column, mask=within, other=0.0) * tl.load(centres + of_group)
    total = tl.zeros((COLUMNS,), tl.float64)
    for start in range(first, last, EDGES):
        place = start + tl.arange(0, EDGES)
        row = tl.load(nodes + place, mask=place < last, other=0).to(tl.int64)
        inside = (place < last)[:, None] & within[None, :]
        value = values_of(x, row[:, None] * width + column[None, :], inside, x_zero, x_scale)
        distance = tl.where(inside, value - taken[None, :], 0.0)
        total += tl.sum(distance * distance if POWER == 2 else distance, 0)
    tl.store(parts + piece * width + column, total, mask=within)


@triton.jit
def mean_of_pieces(
    parts, ends, sizes, eps, out, width, columns,
    FACTOR: tl.constexpr, PER_COLUMN: tl.constexpr, PIECES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Writes the means [G, columns] over groups of sizes [G] rows, of parts [P, W]: group g has ends[g]..ends[g + 1].

    FACTOR: "" writes them; "within" and "beside" one over their root, to which eps is added before or after it.
    """
    group = tl.program_id(0).to(tl.int64)
    first, last = tl.load(ends + group), tl.load(ends + group + 1)
    begin = tl.program_id(1) * COLUMNS
    stop = begin + COLUMNS if PER_COLUMN else width
    total = tl.zeros((COLUMNS,), tl.float64)
    for before in range(begin, stop, COLUMNS):
        column = before + tl.arange(0, COLUMNS)
        for start in range(first, last, PIECES):
            piece = start + tl.arange(0, PIECES)
            inside = (piece < last)[:, None] & (column < width)[None, :]
            place = parts + piece[:, None].to(tl.int64) * width + column[None, :]
            total += tl.sum(tl.load(place, mask=inside, other=0.0), 0)
    size = tl.maximum(tl.load(sizes + group), 1).to(tl.float64) + tl.zeros_like(total)
    least = tl.load(eps) + tl.zeros_like(total)
    column = begin + tl.arange(0, COLUMNS)
    mean = total / size if PER_COLUMN else (tl.sum(total, 0) + tl.zeros_like(total)) / (size * width)
    if FACTOR == "within":
        mean = 1.0 / tl.sqrt(mean + least)
    if FACTOR == "beside":
        mean = 1.0 / (tl.sqrt(mean) + least)
    tl.store(out + group * columns + column, mean, mask=column < columns)


@triton.jit
def normalize_groups(
    x, groups, shares, centres, factors, weight, bias, out, entries, width, columns, x_zero, x_scale, scale, zero,
    lowest, highest, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes codes of (value - shares * centres) * factors * weight + bias of codes x [n, W]; groups [n]: of rows."""
    place, inside = block_of(entries, BLOCK)
    row, column = place // width, place % width
    of_group = tl.load(groups + row, mask=inside, other=0).to(tl.int64) * columns + tl.minimum(column, columns - 1)
    centre = tl.load(centres + of_group, mask=inside, other=0.0)
    share = tl.load(shares + column, mask=inside, other=0.0)
    distance = values_of(x, place, inside, x_zero, x_scale) - share * centre
    factor = tl.load(factors + of_group, mask=inside, other=0.0)
    multiplier = tl.load(weight + column, mask=inside, other=0.0)
    addend = tl.load(bias + column, mask=inside, other=0.0)
    codes = code_of_normalized(distance, factor, multiplier, addend, scale, zero, lowest, highest)
    tl.store(out + place, codes, mask=inside)
