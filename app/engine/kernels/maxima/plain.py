"""Maxima of rows over edges: loops that any CPU runs. See kernels/common.py for their conventions."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..common import kernel


@kernel
def max_rows(x, indptr, sources, empty, out):
    """Writes the largest codes of rows x [N, W] over the edges into each node to out [N, W]; `empty` if there are none.

    All codes are on one grid, so the largest code is the largest offset.
    """
    width = x.shape[1]
    for i in range(out.shape[0]):
        begin, end, row = indptr[i] - indptr[0], indptr[i + 1] - indptr[0], out[i]
        row[:] = np.uint8(empty if begin == end else 0)
        for e in range(begin, end):
            source = x[sources[e]]
            for j in range(width):
                row[j] = max(row[j], source[j])


@kernel
def max_nibbles(x, indptr, sources, empty, out):
    """Does the same as `max_rows` for packed rows x [N, W / 2]."""
    half = x.shape[1]
    for i in range(out.shape[0]):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        low, high = out[i, :half], out[i, half:]
        low[:] = np.uint8(empty if begin == end else 0)
        high[:] = low
        for e in range(begin, end):
            source = x[sources[e]]
            for j in range(half):
                low[j] = max(low[j], source[j] & np.uint8(15))
                high[j] = max(high[j], source[j] >> np.uint8(4))
