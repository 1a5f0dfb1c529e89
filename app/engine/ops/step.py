"""What the compiled ops share: their form, and constants as the kernels want them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..kernels import plain as kernels
from ..kernels.dispatch import Codes, Limits
from ..program.grid import Grid
from ..program.model import Value
from ..workers import Workers
from .bound import BoundOp


class Block(NamedTuple):
    """Rows that pass a stage together: their numbers, those of their ends in indptr, and those of their edges."""

    rows: slice
    ends: slice
    edges: slice

    def of(self, value: Value) -> slice:
        """Where the block's part of a value is."""
        return self.edges if value.domain == "edge" else self.rows


STRETCH = 1024
"""Entries handed out together."""

Rows = Callable[..., None]
"""rows(block, *inputs, out): inputs and out hold the rows, or edges, of the block only."""


class Step(NamedTuple):
    """A prepared op.

    start(graph, *whole) begins a run and gives what computes a block; it is passed the inputs numbered in `gathers`,
    which are read beyond the block's own rows, packed if it `reads_packed` and they are (`nibbles.is_packed`).
    sparse(graph, *inputs), where there is one, takes inputs all of which are SparseRows, whole, and gives the whole
    result, or None if its dense form would be faster.
    """

    start: Callable[..., Rows]
    gathers: tuple[int, ...] = ()
    sparse: Callable[..., Any] | None = None
    reads_packed: bool = False


def on_rows(kernel: Callable[..., object], *constants: Any) -> Callable[..., Rows]:
    """The `start` of an op that treats all numbers alike: kernel(*inputs, *constants, out) on flat arrays."""

    def rows(block: Block, *arrays: np.ndarray) -> None:
        *inputs, out = (array.reshape(-1) for array in arrays)
        kernel(*inputs, *constants, out)

    return lambda graph: rows


def zero_of(grid: Grid) -> int:
    """The zero point as stored: an offset from the smallest code."""
    return grid.zero_point - grid.qmin


def limits_of(grid: Grid) -> Limits:
    """The last three arguments of kernels that write codes."""
    return zero_of(grid), np.float32(grid.qmin - grid.zero_point), np.float32(grid.qmax - grid.zero_point)


def on_values(kernel: Callable[..., object], values: Codes, *constants: Any, workers: Workers) -> Codes:
    """kernel(values, *constants, out) on the entries sparse rows store [n]."""
    out = workers.buffers.empty(values.shape, np.uint8)

    def part(first: int, last: int) -> None:
        stretch = slice(first * STRETCH, last * STRETCH)
        kernel(values[stretch], *constants, out[stretch])

    workers.run(part, -(-values.size // STRETCH))
    return out


def take(table: np.ndarray, codes: Codes) -> np.ndarray:
    """table[codes], of the table's dtype."""
    out = np.empty(codes.shape, table.dtype)
    kernels.lookup(codes.reshape(-1), table, out.reshape(-1))
    return out


def residual_of(op: BoundOp, role: str, grid: str) -> np.ndarray:
    """A constant's codes minus their zero point, int16."""
    return op.tensors[role].astype(np.int16) - np.int16(op.grid(grid).zero_point)
