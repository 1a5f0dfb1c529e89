"""What compiled ops have in common: their prepared form, and constants in the form that kernels take."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any, NamedTuple

import numpy as np

from ..kernels import plain as kernels
from ..kernels.dispatch import Codes, Limits
from ..program.grid import Grid
from ..program.model import Value
from ..workers import Workers
from .bound import BoundOp


class Block(NamedTuple):
    """Consecutive rows that pass through a stage together.

    Attributes:
        rows: their range.
        ends: the range of their offsets in indptr, one more.
        edges: the range of the edges into them.
    """

    rows: slice
    ends: slice
    edges: slice

    def range_of(self, value: Value) -> slice:
        """Returns the range of the block's part of a value."""
        return self.edges if value.domain == "edge" else self.rows


CHUNK = 1024
"""Stored entries of sparse rows that a thread takes at once."""

ComputeBlock = Callable[..., None]
"""compute(block, *inputs, out): inputs and out hold only the rows, or edges, of the block."""


class Step(NamedTuple):
    """A prepared op.

    Attributes:
        start: start(graph, *gathered) begins a run and returns what computes a block.
        gathers: numbers of the inputs that are read beyond the block's own rows; `start` gets them whole.
        sparse: sparse(graph, *inputs) takes all inputs as whole SparseRows and returns the whole result, or None where
            its dense form would be faster. None: the op cannot do that.
        reads_packed: whether gathered inputs may be PackedRows.
    """

    start: Callable[..., ComputeBlock]
    gathers: tuple[int, ...] = ()
    sparse: Callable[..., Any] | None = None
    reads_packed: bool = False


_FLAT: Callable[[np.ndarray], np.ndarray] = methodcaller("reshape", -1)


def elementwise(kernel: Callable[..., object], *constants: Any) -> Callable[..., ComputeBlock]:
    """Returns the `start` of an op that treats all numbers alike: kernel(*inputs, *constants, out) on flat arrays."""

    def compute(block: Block, *arrays: np.ndarray) -> None:
        *inputs, out = map(_FLAT, arrays)
        kernel(*inputs, *constants, out)

    return lambda graph: compute


def zero_of(grid: Grid) -> int:
    """Returns the zero point as kernels take it: its offset from the smallest code."""
    return grid.zero_point - grid.qmin


def largest_of(grid: Grid) -> int:
    """Returns the largest code as kernels take it. No code is farther than that from the zero point."""
    return grid.qmax - grid.qmin


def limits_of(grid: Grid) -> Limits:
    """Returns the arguments zero, lowest and highest of kernels that write codes."""
    return zero_of(grid), np.float32(grid.qmin - grid.zero_point), np.float32(grid.qmax - grid.zero_point)


def map_values(kernel: Callable[..., object], values: Codes, *constants: Any, workers: Workers) -> Codes:
    """Applies kernel(values, *constants, out) to the stored entries of sparse rows [n] and returns out."""
    out = workers.buffers.empty(values.shape, np.uint8)

    def part(first: int, last: int) -> None:
        entries = slice(first * CHUNK, last * CHUNK)
        kernel(values[entries], *constants, out[entries])

    workers.run(part, -(-values.size // CHUNK))
    return out


def look_up(table: np.ndarray, codes: Codes) -> np.ndarray:
    """Returns table[codes], in the dtype of the table."""
    out = np.empty(codes.shape, table.dtype)
    kernels.lookup(codes.reshape(-1), table, out.reshape(-1))
    return out


def stored_codes(codes: np.ndarray, grid: Grid) -> Codes:
    """Returns codes of a grid as kernels take them: uint8 offsets from its smallest code."""
    return (codes.astype(np.int16) - grid.qmin).astype(np.uint8)


def residual_of(op: BoundOp, role: str, grid: str) -> np.ndarray:
    """Returns the codes of a constant minus their zero point, int16."""
    residual: np.ndarray = op.tensors[role].astype(np.int16) - np.int16(op.grid(grid).zero_point)
    return residual
