"""Measures how fast memory delivers gathered rows, which bounds every sum over edges. Only the roofline uses it."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..simd.vectors import Vector, load, prefetch, store, zeros
from .common import kernel
from .sums import AHEAD

LANES = 32
"""Numbers of 4 bytes that are read at once."""

I32x32 = Vector("i32", LANES)


@kernel
def gather_rows(x, sources, out, first, last):
    """Reads rows sources[first..last-1] of x [N, W] int32 completely; W must be a multiple of LANES.

    The lanes are added up so that the compiler cannot omit a read: LANES totals go to `out` [E + LANES], beginning at
    element `first`.
    """
    width, total = x.shape[1], zeros(I32x32)
    for e in range(first, last):
        ahead, row = np.intp(sources[min(e + AHEAD, last - 1)]) * width, np.intp(sources[e]) * width
        for j in range(0, width, LANES):
            prefetch(I32x32, x, ahead + j)
            total = total + load(I32x32, x, row + j)
    store(out, first, total)
