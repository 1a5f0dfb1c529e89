"""Codes times weights on vectors (app/engine/simd.py)."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def"
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from app.engine import simd
from app.engine.buffers import aligned
from app.engine.kernels import kernel
from app.engine.packing import to_codes
from app.engine.simd import Vector, load, load_group, store, to_f32

GROUP = 4
"""Products that one word of a sum of products takes in at once; inputs are at least as wide."""

ROWS = 4
"""Rows of a tile."""

WIDEST = 64 if simd.AVX512 else 16
"""Most columns of a tile: its totals take half of the vector registers."""


class PackedWeight(NamedTuple):
    """Weights in the order in which tiles read them.

    Shapes:
        quads [blocks, groups, columns, GROUP] int8: block b, group g hold rows columns b.. of the weight, inputs
        GROUP g..; the last group holds the last inputs, with zeros for those that the one before holds too.
        start [blocks, columns] int32: -x_zero times the sum of the weights of a column.
    """

    quads: np.ndarray
    start: np.ndarray

    @property
    def columns(self) -> int:
        """Columns of a tile."""
        return self.start.shape[1]


def pack(weight: np.ndarray, x_zero: int) -> PackedWeight:
    """Packs r_w [M, K], all from -128 to 127, K at least GROUP."""
    width, depth = weight.shape
    columns = min(WIDEST, 1 << max(4, (width - 1).bit_length()))
    blocks, groups = -(-width // columns), -(-depth // GROUP)
    padded = np.zeros((blocks * columns, groups * GROUP), np.int8)
    whole = depth - depth % GROUP
    padded[:width, :whole] = weight[:, :whole]
    if whole < depth:
        padded[:width, whole - depth :] = weight[:, whole:]
    quads = padded.reshape(blocks, columns, groups, GROUP).swapaxes(1, 2)
    sums = padded.astype(np.int64).sum(1).reshape(blocks, columns)
    return PackedWeight(aligned(quads), (-x_zero * sums).astype(np.int32))


def fits_bytes(quads: np.ndarray, largest: int) -> bool:
    """Whether no sum of two neighbouring products with codes 0..largest can leave 16 bits: then dot_bytes is exact."""
    pairs = quads.reshape(-1, 2).astype(np.int64) * largest
    return bool(np.maximum(pairs, 0).sum(1).max() < 2**15 and np.minimum(pairs, 0).sum(1).min() >= -(2**15))


def best_dot(quads: np.ndarray, largest: int) -> Any:
    """The fastest sum of products that is exact for these weights and codes 0..largest on this CPU."""
    if simd.VNNI:
        return simd.dot_vnni
    return simd.dot_bytes if fits_bytes(quads, largest) else simd.dot_words


@lru_cache
def linear(dot: Any, columns: int) -> Callable[..., None]:
    """The kernel that computes with `dot` in tiles of so many columns: x [N, K] times packed weight -> out [N, M]."""
    totals, floats = Vector("i32", columns), Vector("f32", columns)
    activations, weights = Vector("u8", GROUP * columns), Vector("i8", GROUP * columns)

    @kernel
    def multiply(x, quads, start, multipliers, addend, zero, lowest, highest, out):
        rows, depth = x.shape
        groups, width = quads.shape[1], out.shape[1]
        code_zero, largest = np.int32(zero), np.int32(highest) + np.int32(zero)
        buffer = np.empty((ROWS, columns), np.uint8)
        for i in range(0, rows, ROWS):
            i1, i2, i3 = min(i + 1, rows - 1), min(i + 2, rows - 1), min(i + 3, rows - 1)
            for block in range(quads.shape[0]):
                column = block * columns
                t0 = load(totals, start, column)
                t1, t2, t3 = t0, t0, t0
                for g in range(groups):
                    k = min(GROUP * g, depth - GROUP)
                    w = load(weights, quads, (block * groups + g) * GROUP * columns)
                    t0 = dot(t0, load_group(activations, x, i * depth + k), w)
                    t1 = dot(t1, load_group(activations, x, i1 * depth + k), w)
                    t2 = dot(t2, load_group(activations, x, i2 * depth + k), w)
                    t3 = dot(t3, load_group(activations, x, i3 * depth + k), w)
                shift = load(floats, addend, column)
                c0 = to_codes(to_f32(t0) * multipliers[i] + shift, code_zero, largest)
                c1 = to_codes(to_f32(t1) * multipliers[i1] + shift, code_zero, largest)
                c2 = to_codes(to_f32(t2) * multipliers[i2] + shift, code_zero, largest)
                c3 = to_codes(to_f32(t3) * multipliers[i3] + shift, code_zero, largest)
                if column + columns <= width:
                    store(out, i * width + column, c0)
                    store(out, i1 * width + column, c1)
                    store(out, i2 * width + column, c2)
                    store(out, i3 * width + column, c3)
                else:  # wider than the rest of the row
                    store(buffer, 0, c0)
                    store(buffer, columns, c1)
                    store(buffer, 2 * columns, c2)
                    store(buffer, 3 * columns, c3)
                    for row in range(min(ROWS, rows - i)):
                        for j in range(width - column):
                            out[i + row, column + j] = buffer[row, j]

    return multiply
