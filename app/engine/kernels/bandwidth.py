"""How fast memory gives rows: the bound of every sum over edges."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..simd.vectors import Vector, load, prefetch, store, zeros
from .plain import kernel
from .sums import AHEAD

LANES = 32
"""Numbers of 4 bytes that are read together."""

I32x32 = Vector("i32", LANES)


@kernel
def gather_rows(x, sources, out, first, last):
    """Reads the rows sources[first..last-1] of x [N, W] int32 whole, W a multiple of LANES.

    So that no read is left out, their lanes are added up: LANES totals, to `out` [E + LANES] from element `first` on.
    """
    width, total = x.shape[1], zeros(I32x32)
    for e in range(first, last):
        ahead, row = np.intp(sources[min(e + AHEAD, last - 1)]) * width, np.intp(sources[e]) * width
        for j in range(0, width, LANES):
            prefetch(I32x32, x, ahead + j)
            total = total + load(I32x32, x, row + j)
    store(out, first, total)
