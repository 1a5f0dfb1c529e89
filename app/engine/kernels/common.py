"""What all kernels share: how they are compiled, their accumulators, and the epilogue that turns these into codes.

Conventions of all kernels:

- A code is stored as its offset from the smallest code of its grid, always uint8, whatever the bits and the sign. So
  one compiled version of a kernel serves every grid, and a table is indexed by the code itself.
- `zero` is the zero point, stored in this way. `lowest` and `highest` are the smallest and the largest code minus the
  zero point, in float32.
- Sums over edges take `multiplier` and `columns`: a number and None, or a number that is not read and the multiplier
  and the addend of every column [2, W]. Numba compiles a kernel for either, so that one costs the other nothing.
  `sum_rows` takes columns in the order of `by_fours`.
- Accumulators are int32 where `accumulator_of_products` or `accumulator_of_sums` proves that every sum fits, else
  int64, which only plain kernels have. Plain kernels that add up take the dtype as their first argument.
- Kernels share nothing but their arguments, so any number of threads may call them.
- A kernel gets the rows of one block: `indptr` is a slice of that of a CSR, arrays of edges begin with the block's
  first edge, and only what is read through `sources` is whole.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from ..compiler.pipelines import KernelCompiler, PartCompiler
from ..kernel_cache import cached_njit

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""No fastmath: it would contract acc * multiplier + addend into one rounding, and change codes."""

kernel = cached_njit(Path(__file__).parents[1], pipeline_class=KernelCompiler, **_OPTIONS)
"""Compiles a kernel."""

brief_kernel = cached_njit(Path(__file__).parents[1], pipeline_class=KernelCompiler, **{**_OPTIONS, "nogil": False})
"""Compiles a kernel that keeps the GIL, for calls of a few microseconds."""

_INLINED: dict[str, Any] = {
    **_OPTIONS, "pipeline_class": PartCompiler, "forceinline": True, "no_cpython_wrapper": True
}  # fmt: skip

part: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(**_INLINED)
"""Compiles a piece of kernels, which is inlined so that vectors stay in registers, and cached with its kernel."""


INT32: np.dtype[Any] = np.dtype(np.int32)
INT64: np.dtype[Any] = np.dtype(np.int64)
LARGEST_INT32 = 2**31 - 1


def accumulator_of_products(weight: np.ndarray, zero: int, largest: int) -> np.dtype[Any]:
    """Returns the dtype that holds the product of a weight r_w [M, K] and any codes 0..largest minus their zero point.

    The extreme sums have the largest code at all weights of one sign and the smallest code at the others. Sums on the
    way to them may leave int32, since they wrap around and come back.
    """
    positive = np.maximum(weight, 0).sum(-1, dtype=np.int64)
    negative = np.minimum(weight, 0).sum(-1, dtype=np.int64)
    highest = (positive * (largest - zero) - negative * zero).max()
    lowest = (negative * (largest - zero) - positive * zero).min()
    return INT32 if highest <= LARGEST_INT32 and lowest >= -LARGEST_INT32 else INT64


def accumulator_of_sums(terms: int, largest: int) -> np.dtype[Any]:
    """Returns the dtype that holds the sum of so many numbers whose absolute values are at most `largest`."""
    return INT32 if terms * largest <= LARGEST_INT32 else INT64


@part
def rounded(value, lowest, highest):
    """Returns r = c - z of the epilogue: rounds half to even and clamps. r is whole, so c = r + zero is exact."""
    whole = np.rint(value)
    whole = lowest if whole < lowest else whole  # numba takes ten times as long to compile min and max
    return highest if whole > highest else whole


@part
def code(value, zero, lowest, highest):
    """Returns the stored code of the epilogue."""
    return np.uint8(np.int32(rounded(value, lowest, highest)) + np.int32(zero))


@part
def code_of_sum(acc, multiplier, columns, factor, at, zero, lowest, highest):
    """Returns the stored code of a sum; `at`: where its column is, `factor`: what multiplies all of the row."""
    if columns is None:
        return code(np.float32(acc) * (multiplier * factor), zero, lowest, highest)
    return code(np.float32(acc) * (columns[0, at] * factor) + columns[1, at], zero, lowest, highest)


def by_fours(columns: np.ndarray) -> np.ndarray:
    """Returns numbers of columns [2, W], those of columns 0, 4, 8, ... first, then those of 1, 5, ...; zeros fill up.

    So those of every fourth column, from any one on, are neighbours.
    """
    padded = np.pad(columns, ((0, 0), (0, -columns.shape[1] % 4)))
    ordered: np.ndarray = padded.reshape(2, -1, 4).swapaxes(1, 2).reshape(2, -1)
    return ordered


@part
def place_by_fours(column, columns):
    """Returns where a column is in what `by_fours` makes; 0 where there is nothing (None)."""
    if columns is None:
        return np.intp(0)
    return (column & 3) * (columns.shape[1] >> 2) + (column >> 2)
