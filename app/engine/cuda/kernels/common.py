"""What kernels share: the epilogue that turns accumulators into codes."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

BIG: tl.constexpr = tl.constexpr(3 * 2.0**22)
"""Adding it to a float32 below 2^22, then taking it away, rounds half to even."""


@triton.jit
def rounded(value, lowest, highest):
    """Returns r = c - z of the epilogue, float32. The limits are whole, so clamping first changes nothing."""
    inside = tl.minimum(tl.maximum(value, lowest), highest)
    return (inside + BIG) - BIG


@triton.jit
def code(value, zero, lowest, highest):
    """Returns the stored code of the epilogue."""
    return (rounded(value, lowest, highest).to(tl.int32) + zero).to(tl.uint8)
