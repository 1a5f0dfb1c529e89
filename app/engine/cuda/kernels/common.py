"""What kernels share: the entries that a program takes, and the epilogue that turns accumulators into codes."""

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
def rounded(value, lowest, highest):
    """Returns r = c - z of the epilogue, float32. The limits are whole, so clamping first changes nothing."""
    inside = tl.minimum(tl.maximum(value, lowest), highest)
    return (inside + BIG) - BIG


@triton.jit
def code(value, zero, lowest, highest):
    """Returns the stored code of the epilogue."""
    return (rounded(value, lowest, highest).to(tl.int32) + zero).to(tl.uint8)
