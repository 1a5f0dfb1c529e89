"""Chooses between plain kernels and those on vectors.

DEGREE_QUANT_SIMD=0 in the environment forces the plain ones; results are the same codes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..simd import vectors as simd
from . import (
    attention as vector_attention,
)
from . import (
    maps as vector_maps,
)
from . import (
    nibbles as vector_nibbles,
)
from . import (
    plain as kernels,
)
from . import (
    products as vector_linear,
)
from . import (
    sums as vector_kernels,
)

Codes = np.ndarray
Limits = tuple[int, np.float32, np.float32]
Kernel = Callable[..., Any]

VECTORS = simd.AVX2 and os.environ.get("DEGREE_QUANT_SIMD") != "0"
"""Whether kernels on vectors are used."""


def fastest(name: str) -> Kernel:
    """The kernel of that name for all codes alike: on vectors where there are any."""
    return getattr(vector_maps if VECTORS else kernels, name)


def requantize(width: int) -> Kernel:
    """The kernel for rows of so many codes."""
    return vector_maps.requantize if VECTORS and width >= vector_maps.LANES else kernels.requantize


def of_heads(name: str, heads: int) -> Kernel:
    """The kernel of that name for so many heads."""
    return getattr(vector_attention if VECTORS and heads >= vector_attention.HEADS else kernels, name)


def sum_rows(width: int) -> Kernel:
    """The kernel for rows of so many codes."""
    return vector_kernels.sum_rows if VECTORS and width >= vector_kernels.NARROWEST else kernels.sum_rows


def weighted_sum(channels: int, largest_factor: float) -> Kernel:
    """The kernel for heads of so many codes, whose factors are at most so large."""
    fits = channels >= vector_kernels.NARROWEST and largest_factor < vector_kernels.LARGEST_FACTOR
    return vector_kernels.weighted_sum if VECTORS and fits else kernels.weighted_sum


def nibbles(name: str) -> Kernel:
    """The kernel of that name for packed rows: on vectors where there are any."""
    return getattr(vector_nibbles if VECTORS else kernels, name)


def linear(
    weight: np.ndarray, x_zero: int, largest: int, epilogue: tuple[np.ndarray, np.ndarray], limits: Limits
) -> Kernel:
    """Prepares r_w [M, K] and multipliers and addends [M].

    Result: a kernel of codes [N, K] from 0 to `largest`, factors [N] of the multipliers, and codes [N, M] to write.
    """
    packed = _packed(weight, x_zero)
    if packed is None:
        constants = x_zero, np.ascontiguousarray(weight.T)
        return lambda x, factors, out: kernels.linear(x, *constants, factors, *epilogue, *limits, out)
    kernel = vector_linear.linear(vector_linear.best_dot(packed.quads, largest), packed.columns)
    padded = [np.pad(column, (0, packed.start.size - column.size)) for column in epilogue]
    return lambda x, factors, out: kernel(x, packed.quads, packed.start, factors, *padded, *limits, out)


def project(vectors: np.ndarray, x_zero: int, largest: int) -> Kernel:
    """Prepares r [2, H, C]: a kernel of codes [N, H * C] from 0 to `largest` and scores [N, 2 * H] int32 to write."""
    few = vectors.shape[1] <= vector_attention.MOST_HEADS
    packed = _packed(vector_attention.by_heads(vectors), x_zero) if few else None
    if packed is None:
        return lambda x, out: kernels.project(x, x_zero, vectors, out)
    kernel = vector_linear.product(vector_linear.best_dot(packed.quads, largest), packed.columns)
    return lambda x, out: kernel(x, packed.quads, packed.start, out)


def _packed(weight: np.ndarray, x_zero: int) -> vector_linear.PackedWeight | None:
    """r_w for the kernels on vectors, where they can be used."""
    width, depth = weight.shape
    fits = VECTORS and depth >= vector_linear.GROUP and width
    return vector_linear.pack(weight, x_zero) if fits else None
