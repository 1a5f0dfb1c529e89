"""Logits of edges, and their softmax."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

from .common import block_of, code, ends_of, gathered


@triton.jit
def attention_logits(
    scores, sources, targets, out, entries, heads, multiplier, zero, lowest, highest, BLOCK: tl.constexpr
):  # fmt: skip
    """Adds scores [N, 2 H], of sources and then of targets, of both ends of edges -> codes [E, H]."""
    place, inside = block_of(entries, BLOCK)
    source, target, head = ends_of(sources, targets, place, inside, heads)
    acc = tl.load(scores + source * 2 * heads + head, mask=inside, other=0)
    acc += tl.load(scores + (target * 2 + 1) * heads + head, mask=inside, other=0)
    tl.store(out + place, code(acc.to(tl.float32) * multiplier, zero, lowest, highest), mask=inside)


@triton.jit
def dynamic_logits(
    left, right, vectors, sources, targets, out, entries, heads, channels, shift, slope, multiplier, zero, lowest,
    highest, ACC: tl.constexpr, PACKED: tl.constexpr, BLOCK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """t = left [N, H * C] of the source + right of the target - shift; logits of vectors [H, C] -> codes [E, H].

    PACKED: as in `gathered`, by rows [N * H, C].
    """
    place, inside = block_of(entries, BLOCK)
    source, target, head = ends_of(sources, targets, place, inside, heads)
    above, below = tl.zeros((BLOCK,), ACC), tl.zeros((BLOCK,), ACC)
    for first in range(0, channels, CHANNELS):
        c = first + tl.arange(0, CHANNELS)
        open_ = inside[:, None] & (c < channels)[None, :]
        of_left = gathered(left, source * heads + head, inside, first, channels, CHANNELS, PACKED)
        of_right = gathered(right, target * heads + head, inside, first, channels, CHANNELS, PACKED)
        vector = tl.load(vectors + (head * channels)[:, None] + c[None, :], mask=open_, other=0).to(tl.int32)
        t = of_left + of_right - shift
        above += tl.sum(tl.maximum(t, 0) * vector, 1).to(ACC)
        below += tl.sum(tl.minimum(t, 0) * vector, 1).to(ACC)
    slopes = tl.zeros((BLOCK,), tl.float64) + slope
    scaled = (above.to(tl.float64) + slopes * below.to(tl.float64)).to(tl.float32)
    tl.store(out + place, code(scaled * multiplier, zero, lowest, highest), mask=inside)


@triton.jit
def softmax(logits, exponentials, indptr, largest_of, totals, rows, heads, levels, BLOCK: tl.constexpr):
    """Writes of the edges into each row the largest code [N, H] and the sum [N, H], float32, of exponentials [L, L] of
    a maximum and a code.

    Each lane takes a head of a row, and its edges one after the other: their order decides the sum.
    """
    place, inside = block_of(rows * heads, BLOCK)
    row, head = place // heads, place % heads
    first = tl.load(indptr + row, mask=inside, other=0)
    degree = tl.load(indptr + row + 1, mask=inside, other=0) - first
    start = first * heads + head
    most = tl.max(degree, 0)
    largest = tl.zeros((BLOCK,), tl.int32)
    for k in range(0, most):
        largest = tl.maximum(largest, tl.load(logits + start + k * heads, mask=k < degree, other=0).to(tl.int32))
    table = exponentials + largest * levels
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(0, most):
        stored = tl.load(logits + start + k * heads, mask=k < degree, other=0).to(tl.int32)
        total += tl.load(table + stored, mask=k < degree, other=0.0)
    tl.store(largest_of + place, largest.to(tl.uint8), mask=inside)
    tl.store(totals + place, total + 1e-16, mask=inside)


@triton.jit
def shares(logits, exponentials, targets, largest_of, totals, out, entries, heads, levels, BLOCK: tl.constexpr):
    """Writes the coefficients of edges and heads [E, H]: exponentials over their sum; see `softmax`."""
    place, inside = block_of(entries, BLOCK)
    edge, head = place // heads, place % heads
    of_target = tl.load(targets + edge, mask=inside, other=0).to(tl.int64) * heads + head
    largest = tl.load(largest_of + of_target, mask=inside, other=0).to(tl.int32)
    stored = tl.load(logits + place, mask=inside, other=0).to(tl.int32)
    power = tl.load(exponentials + largest * levels + stored, mask=inside, other=0.0)
    tl.store(out + place, tl.math.div_rn(power, tl.load(totals + of_target, mask=inside, other=1.0)), mask=inside)
