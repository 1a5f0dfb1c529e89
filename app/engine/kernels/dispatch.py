"""Chooses the fastest kernel for an op: a plain one or one on vectors; both compute the same codes.

Kernels on vectors have int32 accumulators, so sums that could leave int32 go to plain kernels. The dtypes of
accumulators are what `accumulator_of_sums` and `accumulator_of_products` of common.py return.

DEGREE_QUANT_SIMD=0 in the environment forces the plain kernels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..simd import vectors as simd
from . import attention, maps, plain, products, sums
from . import nibbles as packed_rows
from .common import INT32, accumulator_of_products
from .dynamic_attention import plain as plain_dynamic_attention
from .dynamic_attention import vectors as dynamic_attention
from .maxima import plain as plain_maxima
from .maxima import vectors as maxima

Codes = np.ndarray
Limits = tuple[int, np.float32, np.float32]
Kernel = Callable[..., Any]
Dtype = np.dtype[Any]

VECTORS = simd.VECTORS and os.environ.get("DEGREE_QUANT_SIMD") != "0"
"""Whether kernels on vectors may be used."""


def elementwise(name: str) -> Kernel:
    """Returns the kernel of that name, which treats all numbers alike."""
    return _named(maps if VECTORS else plain, name)


def requantize(width: int) -> Kernel:
    """Returns the kernel that moves rows of `width` codes to another grid."""
    return maps.requantize if VECTORS and width >= maps.LANES else plain.requantize


def add_heads(width: int, accumulator: Dtype) -> Kernel:
    """Returns the kernel that adds up heads of `width` codes."""
    fits = _on_vectors(accumulator) and width >= maps.NARROWEST
    return maps.add_heads if fits else partial(plain.add_heads, accumulator)


def attention_logits(heads: int, scores: Dtype) -> Kernel:
    """Returns the kernel that computes the logits of `heads` heads from scores of this dtype."""
    return _named(attention if _on_vectors(scores) and heads >= attention.HEADS else plain, "attention_logits")


def dynamic_logits(vectors: np.ndarray, accumulator: Dtype) -> tuple[Kernel, np.ndarray]:
    """Returns the kernel that computes dynamic logits, and attention vectors r [H, C], int16, in the form it takes."""
    if _on_vectors(accumulator) and vectors.shape[1] >= dynamic_attention.NARROWEST:
        return dynamic_attention.logits, dynamic_attention.padded(vectors)
    return partial(plain_dynamic_attention.logits, accumulator), vectors


def softmax(heads: int) -> Kernel:
    """Returns the kernel that computes the softmax of `heads` heads."""
    return _named(attention if VECTORS and heads >= attention.HEADS else plain, "softmax")


def sum_rows(width: int, accumulator: Dtype) -> Kernel:
    """Returns the kernel that sums rows of `width` codes over edges."""
    if not _on_vectors(accumulator) or width < sums.NARROWEST:
        return partial(plain.sum_rows, accumulator)
    if width < 32:
        return sums.sum_short_rows
    left = width % 128
    return sums.sum_rows(wide=width >= 128, rest=0 if left == 0 else 64 if width >= 64 and left > 32 else 32)


def weighted_sum(channels: int, largest_factor: float, accumulator: Dtype, *, heads: int = 1) -> Kernel:
    """Returns the kernel that sums messages, for heads of `channels` codes and factors up to `largest_factor`.

    There is a kernel for each kind of width, so that programs compile no more than they need.
    """
    fits = channels >= sums.NARROWEST and largest_factor < sums.LARGEST_FACTOR
    if not _on_vectors(accumulator) or not fits:
        return partial(plain.weighted_sum, accumulator)
    if channels >= 64:
        return sums.weighted_sum(**_pieces(channels))
    sixteens = channels % 16 == heads * channels % 64 == 0
    return sums.weighted_sum_of_sixteens if sixteens else sums.weighted_sum_of_short_heads


def _pieces(columns: int) -> dict[str, bool]:
    """Returns whether so many columns hold 128, and whether they hold more or fewer."""
    return {"wide": columns >= 128, "narrow": columns % 128 != 0}


def max_rows(width: int) -> Kernel:
    """Returns the kernel that takes the maximum of rows of `width` codes over edges."""
    return _named(maxima if VECTORS and width >= sums.NARROWEST else plain_maxima, "max_rows")


def max_nibbles() -> Kernel:
    """Returns the kernel that takes the maximum of packed rows over edges."""
    return _named(maxima if VECTORS else plain_maxima, "max_nibbles")


def packing(name: str) -> Kernel:
    """Returns the kernel of that name, which packs or unpacks rows."""
    return _named(packed_rows if VECTORS else plain, name)


def packed_sum(name: str, accumulator: Dtype) -> Kernel:
    """Returns the kernel of that name, which sums packed rows over edges."""
    return _named(packed_rows, name) if _on_vectors(accumulator) else partial(_named(plain, name), accumulator)


def _on_vectors(accumulator: Dtype) -> bool:
    """Returns whether a kernel on vectors has such accumulators."""
    return VECTORS and accumulator == INT32


def _named(module: ModuleType, name: str) -> Kernel:
    kernel: Kernel = getattr(module, name)
    return kernel


class Product(NamedTuple):
    """A kernel that multiplies codes by a constant weight.

    Attributes:
        kernel: the kernel.
        weight: its arguments behind the codes.
        epilogue: its arguments before the result.
    """

    kernel: Kernel
    weight: tuple[Any, ...]
    epilogue: tuple[Any, ...] = ()


def linear(
    weight: np.ndarray,
    x_zero: int,
    *,
    largest: int,
    epilogue: tuple[np.ndarray, np.ndarray],
    limits: Limits,
    rows_few: bool = False,
) -> Product:
    """Prepares a product of codes and a weight, with its epilogue.

    Args:
        weight: r_w [M, K] int16.
        x_zero: the stored zero point of the codes.
        largest: the largest stored code.
        epilogue: multipliers and addends [M].
        limits: the grid of the result.
        rows_few: see `products.pack`.

    Returns:
        Its arguments are codes x [N, K], the constants of the weight, factors [N] of the multipliers, the constants of
        the epilogue, and codes out [N, M].
    """
    accumulator = accumulator_of_products(weight, x_zero, largest)
    packed = _packed(weight, x_zero, largest, accumulator, rows_few=rows_few)
    if packed is None:
        constants = x_zero, np.ascontiguousarray(weight.T)
        return Product(partial(plain.linear, accumulator), constants, (*epilogue, *limits))
    kernel = products.linear(packed.how, packed.columns)
    padded = [np.pad(column, (0, packed.start.size - column.size)) for column in epilogue]
    return Product(kernel, (packed.quads, packed.start), (*padded, *limits))


def project(vectors: np.ndarray, x_zero: int, *, largest: int, scores: Dtype) -> Product:
    """Prepares the product of codes and attention vectors r [2, H, C], int16.

    Args:
        vectors: those of sources, then those of targets.
        x_zero: the stored zero point of the codes.
        largest: the largest stored code.
        scores: the dtype of the result.

    Returns:
        Its arguments are codes x [N, H * C], the constants of the vectors, and scores out [N, 2 * H].
    """
    few = vectors.shape[1] <= attention.MOST_HEADS
    packed = _packed(attention.by_heads(vectors), x_zero, largest, scores) if few else None
    if packed is None:
        return Product(plain.project, (x_zero, vectors))
    kernel = products.product(packed.how, packed.columns)
    return Product(kernel, (packed.quads, packed.start))


def _packed(
    weight: np.ndarray, x_zero: int, largest: int, accumulator: Dtype, *, rows_few: bool = False
) -> products.PackedWeight | None:
    """Packs a weight r_w [M, K] for the kernels on vectors; None where they cannot be used."""
    width, depth = weight.shape
    fits = _on_vectors(accumulator) and depth >= products.GROUP and width
    return products.pack(weight, x_zero, largest, rows_few=rows_few) if fits else None
