"""Chooses between plain kernels and those on vectors.

DEGREE_QUANT_SIMD=0 in the environment forces the plain ones; results are the same codes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from app.engine import kernels, simd, vector_kernels, vector_linear, vector_maps, vector_nibbles
from app.engine.workers import Workers

Codes = np.ndarray
Limits = tuple[int, np.float32, np.float32]
Kernel = Callable[..., Any]

VECTORS = simd.AVX2 and os.environ.get("DEGREE_QUANT_SIMD") != "0"
"""Whether kernels on vectors are used."""

BLOCK = 1024
"""Elements handed out together."""


def elementwise(kernel: Kernel, inputs: list[np.ndarray], *constants: Any, dtype: Any, workers: Workers) -> Any:
    """kernel(*inputs, *constants, out), for inputs of one shape, on stretches of their elements."""
    flat = [x.reshape(-1) for x in inputs]
    out = workers.buffers.empty(inputs[0].shape, dtype)
    written = out.reshape(-1)

    def part(first: int, last: int) -> None:
        stretch = slice(first * BLOCK, last * BLOCK)
        kernel(*(x[stretch] for x in flat), *constants, written[stretch])

    workers.run(part, -(-written.size // BLOCK))
    return out


def fastest(name: str) -> Kernel:
    """The kernel of that name for all codes alike: on vectors where there are any."""
    return getattr(vector_maps if VECTORS else kernels, name)


def requantize(width: int) -> Kernel:
    """The kernel for rows of so many codes."""
    return vector_maps.requantize if VECTORS and width >= vector_maps.LANES else kernels.requantize


def attention_logits(heads: int) -> Kernel:
    """The kernel for so many heads."""
    fits = VECTORS and heads >= vector_kernels.NARROWEST
    return vector_kernels.attention_logits if fits else kernels.attention_logits


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


def linear(weight: np.ndarray, x_zero: int, largest: int, addend: np.ndarray, limits: Limits) -> Kernel:
    """Prepares r_w [M, K]: a kernel of codes [N, K] from 0 to `largest`, multipliers [N] and codes [N, M] to write."""
    width, depth = weight.shape
    if VECTORS and depth >= vector_linear.GROUP and width and np.abs(weight + 0.5).max() < 128:
        packed = vector_linear.pack(weight, x_zero)
        kernel: Kernel = vector_linear.linear(vector_linear.best_dot(packed.quads, largest), packed.columns)
        padded = np.zeros(packed.start.size, np.float32)
        padded[:width] = addend
        constants: tuple[Any, ...] = (packed.quads, packed.start)
    else:
        kernel, padded = kernels.linear, addend
        constants = (x_zero, np.ascontiguousarray(weight.T))
    return lambda x, multipliers, out: kernel(x, *constants, multipliers, padded, *limits, out)
