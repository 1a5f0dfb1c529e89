"""Matrix products of codes and weights on vectors, in tiles of ROWS rows."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def"
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..buffers import aligned
from ..simd import dots
from ..simd import vectors as simd
from ..simd.dots import dot
from ..simd.narrowing import to_codes
from ..simd.vectors import Vector, least, load, load_group, store, store_first, to_f32
from .common import kernel, part

GROUP = 4
"""Number of products that a 32-bit lane adds up at once; inputs have at least as many columns."""

ROWS = 4
"""Rows of a tile."""

WIDEST = simd.REGISTERS // 2 // ROWS * simd.REGISTER_BITS // 32
"""Most columns of a tile: its accumulators take half of the vector registers."""


class PackedWeight(NamedTuple):
    """A weight in the order in which tiles read it.

    Shapes:
        quads [terms * blocks, groups, columns, GROUP] int8: block b and group g hold the weights of outputs
        columns * b.. and inputs GROUP * g..; the last group holds the last GROUP inputs, with zeros for those that the
        group before holds too. Weights that int8 cannot hold are sums of two or three terms.
        start [blocks, columns] int32: initial accumulators, the sum of the weights of an output times what the
            kernel still has to take off its inputs.

    Attributes:
        how: the way to add up products.
    """

    quads: np.ndarray
    start: np.ndarray
    how: dots.Dot

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return int(self.start.shape[1])


def pack(weight: np.ndarray, x_zero: int, largest: int, *, rows_few: bool = False) -> PackedWeight:
    """Packs the weight r_w [M, K], int16, for codes 0..largest minus x_zero; K must be at least GROUP.

    rows_few: whether so few rows are multiplied that tiles need not fit the width: wide ones, which most programs need
        anyway, save a kernel.
    """
    width, depth = weight.shape
    columns = WIDEST if rows_few else min(WIDEST, 1 << max(4, (width - 1).bit_length()))
    blocks, groups = -(-width // columns), -(-depth // GROUP)
    padded = np.zeros((blocks * columns, groups * GROUP), np.int16)
    whole = depth - depth % GROUP
    padded[:width, :whole] = weight[:, :whole]
    if whole < depth:
        padded[:width, whole - depth :] = weight[:, whole:]
    terms: list[np.ndarray] = []
    rest = padded
    while rest.any() or not terms:
        terms.append(np.clip(rest, -128, 127))
        rest = rest - terms[-1]
    quads = np.concatenate(terms).astype(np.int8).reshape(-1, columns, groups, GROUP).swapaxes(1, 2)
    sums = padded.astype(np.int64).sum(1).reshape(blocks, columns)
    how = best_dot(quads, largest)
    return PackedWeight(aligned(quads), ((how.offset - x_zero) * sums).astype(np.int32), how)


def fits_bytes(quads: np.ndarray, largest: int) -> bool:
    """Returns whether BYTES_DOT is exact: no sum of two neighbouring products with codes 0..largest leaves 16 bits."""
    pairs = quads.reshape(-1, 2).astype(np.int64) * largest
    return bool(np.maximum(pairs, 0).sum(1).max() < 2**15 and np.minimum(pairs, 0).sum(1).min() >= -(2**15))


def best_dot(quads: np.ndarray, largest: int) -> dots.Dot:
    """Returns the fastest way to compute `dot` on this CPU that is exact for these weights and codes 0..largest."""
    exact = [how for how in dots.DOTS if how is not dots.BYTES_DOT or fits_bytes(quads, largest)]
    return exact[-1]


@part
def tile(how, kinds, x, quads, start, i, block):
    """Returns the accumulators, i32, of ROWS rows from row i (the last row again at the end) and a block of columns."""
    totals, activations, weights = kinds
    rows, depth = x.shape
    groups, columns = quads.shape[1:3]
    i1, i2, i3 = least(i + 1, rows - 1), least(i + 2, rows - 1), least(i + 3, rows - 1)
    t0 = load(totals, start, block * columns)
    t1, t2, t3 = t0, t0, t0
    for term in range(block, quads.shape[0], start.shape[0]):
        for g in range(groups):
            k = least(GROUP * g, depth - GROUP)
            w = load(weights, quads, (term * groups + g) * GROUP * columns)
            t0 = dot(how, t0, load_group(activations, x, i * depth + k), w)
            t1 = dot(how, t1, load_group(activations, x, i1 * depth + k), w)
            t2 = dot(how, t2, load_group(activations, x, i2 * depth + k), w)
            t3 = dot(how, t3, load_group(activations, x, i3 * depth + k), w)
    return t0, t1, t2, t3


@part
def store_tile(tile_rows, columns, out, i, column):
    """Writes the rows of a tile to `out` [N, M], beginning at row i and `column`; omits what lies outside."""
    t0, t1, t2, t3 = tile_rows
    rows, width = out.shape
    first, last = i * width + column, (rows - 1) * width + column
    second, third, fourth = least(first + width, last), least(first + 2 * width, last), least(first + 3 * width, last)
    left = width - column
    if left >= columns:
        store(out, first, t0)
        store(out, second, t1)
        store(out, third, t2)
        store(out, fourth, t3)
    else:
        store_first(out, first, t0, left)
        store_first(out, second, t1, left)
        store_first(out, third, t2, left)
        store_first(out, fourth, t3, left)


@lru_cache
def linear(how: dots.Dot, columns: int) -> Callable[..., None]:
    """Returns the kernel that multiplies codes x [N, K] by a weight with tiles of `columns` -> codes out [N, M]."""
    floats, kinds = Vector("f32", columns), kinds_of(columns)

    @kernel
    def multiply(x, quads, start, factors, multipliers, addend, zero, lowest, highest, out):
        last = x.shape[0] - 1
        code_zero, largest = np.int32(zero), np.int32(highest) + np.int32(zero)
        for i in range(0, x.shape[0], ROWS):
            i1, i2, i3 = least(i + 1, last), least(i + 2, last), least(i + 3, last)
            for block in range(start.shape[0]):
                t0, t1, t2, t3 = tile(how, kinds, x, quads, start, i, block)
                scale, shift = load(floats, multipliers, block * columns), load(floats, addend, block * columns)
                c0 = to_codes(to_f32(t0) * (scale * factors[i]) + shift, code_zero, largest)
                c1 = to_codes(to_f32(t1) * (scale * factors[i1]) + shift, code_zero, largest)
                c2 = to_codes(to_f32(t2) * (scale * factors[i2]) + shift, code_zero, largest)
                c3 = to_codes(to_f32(t3) * (scale * factors[i3]) + shift, code_zero, largest)
                store_tile((c0, c1, c2, c3), columns, out, i, block * columns)

    return multiply


@lru_cache
def product(how: dots.Dot, columns: int) -> Callable[..., None]:
    """Returns the kernel that does the same as that of `linear` without epilogue -> accumulators out [N, M] int32."""
    kinds = kinds_of(columns)

    @kernel
    def multiply(x, quads, start, out):
        for i in range(0, x.shape[0], ROWS):
            for block in range(start.shape[0]):
                store_tile(tile(how, kinds, x, quads, start, i, block), columns, out, i, block * columns)

    return multiply


def kinds_of(columns: int) -> tuple[Vector, Vector, Vector]:
    """Returns the vector types of a tile's row: accumulators, activations and weights of a group."""
    return Vector("i32", columns), Vector("u8", GROUP * columns), Vector("i8", GROUP * columns)
