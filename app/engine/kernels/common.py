"""What all kernels share: how they are compiled, and the epilogue that turns accumulators into codes.

Conventions of all kernels:

- A code is stored as its offset from the smallest code of its grid, always uint8, whatever the bits and the sign. So
  one compiled version of a kernel serves every grid, and a table is indexed by the code itself.
- `zero` is the zero point, stored in this way. `lowest` and `highest` are the smallest and the largest code minus the
  zero point, in float32. Accumulators are int32.
- Kernels share nothing but their arguments, so any number of threads may call them.
- A kernel gets the rows of one block: `indptr` is a slice of that of a CSR, arrays of edges begin with the block's
  first edge, and only what is read through `sources` is whole.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

kernel: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(nogil=True, cache=True, error_model="numpy")
"""Compiles a kernel. No fastmath: it would contract acc * multiplier + addend into one rounding, and change codes."""

part: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(nogil=True, error_model="numpy", forceinline=True)
"""Compiles a piece of kernels, which is inlined so that vectors stay in registers, and cached with its kernel."""


@kernel
def rounded(value, lowest, highest):
    """Returns r = c - z of the epilogue: rounds half to even and clamps. r is whole, so c = r + zero is exact."""
    return min(max(np.rint(value), lowest), highest)


@kernel
def code(value, zero, lowest, highest):
    """Returns the stored code of the epilogue."""
    return np.uint8(np.int32(rounded(value, lowest, highest)) + np.int32(zero))
