"""Kernels of a GPU (Triton): the formulas of `device.py` and of `app.engine.program.grid` in a few launches.

Triton divides float32 approximately, so `div_rn` divides. Where a product and a sum round once, `fma` stands; launches
forbid others to the compiler. No sum has an order that chance decides. Triton's interpreter tests them bit for
bit against the kernels of the host. Tensors are flat; `protect` marks rows of `width` entries.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

BIG: tl.constexpr = tl.constexpr(3 * 2.0**22)
"""Adding it to a float32 below 2^22, then taking it away, rounds half to even."""


@triton.jit
def nearest(x):
    """Half to even. From 2^22 on x stays: no code is that large."""
    return tl.where(tl.abs(x) < 4194304.0, (x + BIG) - BIG, x)


@triton.jit
def at_most(x, most):
    """As torch's `clip`: NaN stays."""
    return tl.where(x > most, most, x)


@triton.jit
def at_least(x, least):
    """As torch's `clip`: NaN stays."""
    return tl.where(x < least, least, x)


@triton.jit
def is_protected(protect, place, inside, width, MASKED: tl.constexpr):
    """Whether entries lie in protected rows."""
    if MASKED:
        return tl.load(protect + place // width, mask=inside, other=1) != 0
    else:
        return ~inside


@triton.jit
def block_ends(x, protect, parts, entries, width, MASKED: tl.constexpr, BLOCK: tl.constexpr):
    """Row p of parts [P, 2] becomes [lo, hi] of the unprotected entries of block p: NaN if one is, [inf, -inf] of
    none.
    """
    block = tl.program_id(0).to(tl.int64)
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < entries
    seen = inside & ~is_protected(protect, place, inside, width, MASKED)
    value = tl.load(x + place, mask=seen, other=0.0)
    wrong = tl.max(tl.where(value != value, 1, 0), 0) > 0
    lo = tl.min(tl.where(seen, value, float("inf")), 0)
    hi = tl.max(tl.where(seen, value, float("-inf")), 0)
    tl.store(parts + 2 * block, tl.where(wrong, float("nan"), lo))
    tl.store(parts + 2 * block + 1, tl.where(wrong, float("nan"), hi))


@triton.jit
def block_entries(
    x, protect, drawn, entries, counts, number, width, SAMPLED: tl.constexpr, MASKED: tl.constexpr,
    BLOCK: tl.constexpr
):  # fmt: skip
    """Copies x (or its entries `drawn`) into `entries`, infinity in place of protected ones; counts the others of
    every block.
    """
    block = tl.program_id(0).to(tl.int64)
    there = block * BLOCK + tl.arange(0, BLOCK)
    inside = there < number
    place = tl.load(drawn + there, mask=inside, other=0) if SAMPLED else there
    seen = inside & ~is_protected(protect, place, inside, width, MASKED)
    tl.store(entries + there, tl.load(x + place, mask=seen, other=float("inf")), mask=inside)
    tl.store(counts + block, tl.sum(seen.to(tl.int64), 0))


@triton.jit
def number_up_to(ascending, number, STEPS: tl.constexpr, WITH_ZEROS: tl.constexpr):
    """How many entries are below zero, zeros among them or not, by halving [first, last)."""
    first, last = tl.full((), 0, tl.int64), tl.full((), 0, tl.int64) + number
    for _ in range(STEPS):
        middle = (first + last) // 2
        open_ = first < last
        value = tl.load(ascending + middle, mask=open_, other=0.0)
        low = (value <= 0.0) if WITH_ZEROS else (value < 0.0)
        first = tl.where(open_ & low, middle + 1, first)
        last = tl.where(open_ & ~low, middle, last)
    return first


@triton.jit
def entry_at(ascending, number, place, skipped, negative):
    """The entry at a place among those that are left when `skipped` zeros are left out."""
    place = place + tl.where(place >= negative, skipped, 0)
    return tl.load(ascending + tl.minimum(tl.maximum(place, 0), number - 1))


@triton.jit
def order_statistics(
    ascending, counts, number, blocks, tracked, collapsed, LOW: tl.constexpr, HIGH: tl.constexpr, STEPS: tl.constexpr,
    MOMENTUM: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Takes [lo, hi] of the counted entries into the tracked range; of those that are not zero if both are zero,
    counted in `collapsed`. As `device.statistic`.
    """
    total = tl.zeros((BLOCK,), tl.int64)
    for first in range(0, blocks, BLOCK):
        block = first + tl.arange(0, BLOCK)
        total += tl.load(counts + block, mask=block < blocks, other=0)
    count = tl.sum(total, 0)
    negative = number_up_to(ascending, number, STEPS, False)
    zeros = number_up_to(ascending, number, STEPS, True) - negative
    first = (count.to(tl.float64) * LOW).to(tl.int64)
    last = count - 1 - (count.to(tl.float64) * HIGH).to(tl.int64)
    lo, hi = entry_at(ascending, number, first, 0, negative), entry_at(ascending, number, last, 0, negative)
    collapses = (lo == 0.0) & (hi == 0.0) & (zeros < count)
    others = count - zeros
    first = (others.to(tl.float64) * LOW).to(tl.int64)
    last = others - 1 - (others.to(tl.float64) * HIGH).to(tl.int64)
    lo = tl.where(collapses, entry_at(ascending, number, first, zeros, negative), lo)
    hi = tl.where(collapses, entry_at(ascending, number, last, zeros, negative), hi)
    move(tracked, lo, hi, count > 0, MOMENTUM)
    tl.store(collapsed, tl.load(collapsed) + tl.where(collapses & (count > 0), 1, 0))


@triton.jit
def move_range(parts, blocks, tracked, MOMENTUM: tl.constexpr, BLOCK: tl.constexpr):
    """Takes [lo, hi] of all blocks into the tracked range [2]; see `move`."""
    lows, highs = tl.full((BLOCK,), float("inf"), tl.float32), tl.full((BLOCK,), float("-inf"), tl.float32)
    wrong = tl.zeros((BLOCK,), tl.int32)
    for first in range(0, blocks, BLOCK):
        block = first + tl.arange(0, BLOCK)
        low = tl.load(parts + 2 * block, mask=block < blocks, other=float("inf"))
        high = tl.load(parts + 2 * block + 1, mask=block < blocks, other=float("-inf"))
        lows, highs = tl.where(low < lows, low, lows), tl.where(high > highs, high, highs)
        wrong += tl.where(low != low, 1, 0)
    is_wrong = tl.max(wrong, 0) > 0
    lo = tl.where(is_wrong, float("nan"), tl.min(lows, 0))
    hi = tl.where(is_wrong, float("nan"), tl.max(highs, 0))
    move(tracked, lo, hi, ~(lo > hi), MOMENTUM)


@triton.jit
def move(tracked, lo, hi, seen, MOMENTUM: tl.constexpr):
    """Takes [lo, hi], if `seen`, into the tracked range: the average, or the union with zero if MOMENTUM is 0."""
    before_lo, before_hi = tl.load(tracked), tl.load(tracked + 1)
    if MOMENTUM == 0:
        new_lo = at_most(tl.where((before_lo != before_lo) | (lo < before_lo), lo, before_lo), 0.0)
        new_hi = at_least(tl.where((before_hi != before_hi) | (hi > before_hi), hi, before_hi), 0.0)
    else:
        weight = tl.full((), MOMENTUM, tl.float32)
        new_lo = tl.where(before_lo != before_lo, lo, lerp(before_lo, lo, weight))
        new_hi = tl.where(before_hi != before_hi, hi, lerp(before_hi, hi, weight))
    tl.store(tracked, tl.where(seen, new_lo, before_lo))
    tl.store(tracked + 1, tl.where(seen, new_hi, before_hi))


@triton.jit
def lerp(a, b, weight):
    """As torch's: from the nearer end."""
    return tl.where(weight < 0.5, tl.math.fma(weight, b - a, a), tl.math.fma(weight - 1.0, b - a, b))


@triton.jit
def grid_of(
    tracked, MARGIN: tl.constexpr, QMIN: tl.constexpr, QMAX: tl.constexpr, SYMMETRIC: tl.constexpr,
    POWER_OF_TWO: tl.constexpr
):  # fmt: skip
    """Scale and zero point of a tracked range: `grid_with_margin`."""
    lo = (tl.load(tracked).to(tl.float64) * MARGIN).to(tl.float32)
    hi = (tl.load(tracked + 1).to(tl.float64) * MARGIN).to(tl.float32)
    least = tl.full((), QMIN, tl.float32)
    most = tl.full((), QMAX, tl.float32)
    if SYMMETRIC:
        hi = at_least(hi, -lo)
        lo, least = -hi, -most
    lo, hi = at_most(lo, 0.0), at_least(hi, 0.0)
    empty = hi == lo
    scale = at_least(tl.math.div_rn(hi - lo, most - least), 1e-12)
    scale = tl.where(empty, 1.0, scale)
    zero = at_most(at_least(least - nearest(tl.math.div_rn(lo, scale)), least), most)
    if POWER_OF_TWO:
        bits = (scale.to(tl.int32, bitcast=True) + 0x7FFFFF) & -0x800000
        scale = tl.where(scale == scale, bits.to(tl.float32, bitcast=True), scale)
    return scale, tl.where(empty, 0.0, zero)


@triton.jit
def round_in_range(
    x, protect, tracked, y, passed, entries, width, MARGIN: tl.constexpr, QMIN: tl.constexpr, QMAX: tl.constexpr,
    SYMMETRIC: tl.constexpr, POWER_OF_TWO: tl.constexpr, MASKED: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Rounds onto the grid of a tracked range, which every block forms anew: it is less work than a launch."""
    step, zero = grid_of(tracked, MARGIN, QMIN, QMAX, SYMMETRIC, POWER_OF_TWO)
    round_block(x, protect, step, zero, y, passed, entries, width, QMIN, QMAX, MASKED, BLOCK)


@triton.jit
def round_blocks(
    x, protect, scale, zero_point, y, passed, entries, width, QMIN: tl.constexpr, QMAX: tl.constexpr,
    MASKED: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Rounds onto the grid of a scale and a zero point."""
    step, zero = tl.load(scale), tl.load(zero_point).to(tl.float32)
    round_block(x, protect, step, zero, y, passed, entries, width, QMIN, QMAX, MASKED, BLOCK)


@triton.jit
def round_block(
    x, protect, step, zero, y, passed, entries, width, QMIN: tl.constexpr, QMAX: tl.constexpr, MASKED: tl.constexpr,
    BLOCK: tl.constexpr
):  # fmt: skip
    """y = clamp(round(x / scale), lo, hi) * scale, with lo and hi the code limits minus the zero point.

    `passed` marks the entries whose code needed no clamp. Protected rows are copied.
    """
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < entries
    value = tl.load(x + place, mask=inside, other=0.0)
    code = nearest(tl.math.div_rn(value, step))
    clamped = at_most(at_least(code, QMIN - zero), QMAX - zero)
    result, unclamped = clamped * step, clamped == code
    if MASKED:
        keep = is_protected(protect, place, inside, width, MASKED)
        result, unclamped = tl.where(keep, value, result), unclamped | keep
    tl.store(y + place, result, mask=inside)
    tl.store(passed + place, unclamped.to(tl.uint8), mask=inside)


@triton.jit
def mask_blocks(gradient, passed, out, entries, BLOCK: tl.constexpr):
    """out = gradient where `passed`, else 0."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < entries
    open_ = tl.load(passed + place, mask=inside, other=0) != 0
    tl.store(out + place, tl.load(gradient + place, mask=inside & open_, other=0.0), mask=inside)


@triton.jit
def step_blocks(gradient, x, y, passed, out, parts, entries, CLIPS: tl.constexpr, BLOCK: tl.constexpr):
    """parts [P]: the sum of gradient * (y - x) a block, without x where not `passed`. Writes the gradient to x."""
    block = tl.program_id(0).to(tl.int64)
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < entries
    g = tl.load(gradient + place, mask=inside, other=0.0)
    open_ = tl.load(passed + place, mask=inside, other=0) != 0
    of_x = tl.where(open_, tl.load(x + place, mask=inside, other=0.0), 0.0)
    tl.store(parts + block, tl.sum(g * (tl.load(y + place, mask=inside, other=0.0) - of_x), 0))
    tl.store(out + place, tl.where(open_, g, 0.0) if CLIPS else g, mask=inside)


@triton.jit
def add_parts(parts, blocks, total, BLOCK: tl.constexpr):
    """total [1] = the sum of parts [P], in double."""
    sums = tl.zeros((BLOCK,), tl.float64)
    for first in range(0, blocks, BLOCK):
        block = first + tl.arange(0, BLOCK)
        sums += tl.load(parts + block, mask=block < blocks, other=0.0).to(tl.float64)
    tl.store(total, tl.sum(sums, 0).to(tl.float32))


@triton.jit
def add_rows(
    first, columns, values, x, out, width, WEIGHTED: tl.constexpr, AHEAD: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Row i of out [M, W] becomes the sum of the rows of x that columns[first[i]:first[i + 1]] name, in that order.

    WEIGHTED: each times its entry of `values`. AHEAD rows are read before they are added.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    begin, end = tl.load(first + row), tl.load(first + row + 1)
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in range(begin, end, AHEAD):
        for k in tl.static_range(AHEAD):
            entry = tl.minimum(start + k, end - 1)
            read = tl.where(start + k < end, width, 0)
            other = tl.load(columns + entry).to(tl.int64)
            added = tl.load(x + other * width + column, mask=column < read, other=0.0)
            if WEIGHTED:
                added = tl.where(column < read, added * tl.load(values + entry), 0.0)
            total += added
    tl.store(out + row * width + column, total, mask=column < width)
