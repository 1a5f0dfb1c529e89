"""What compiled ops have in common: their prepared form, and constants in the form that kernels take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from ..kernels.dispatch import Codes, Kernel, Limits
from ..program.grid import Grid
from ..program.model import Value
from ..workers import Workers
from .bound import BoundOp, Loops


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


class Operand(NamedTuple):
    """A value that a call gets.

    Attributes:
        of: what it is to the op.
        number: which of the op's inputs or temporaries.
        part: the block's rows, these as a flat array, or the whole value.
    """

    of: Literal["input", "temporary", "output"]
    number: int = 0
    part: Literal["rows", "flat", "whole"] = "rows"


X, FLAT_X, WHOLE_X = Operand("input"), Operand("input", part="flat"), Operand("input", part="whole")
OUT, FLAT_OUT = Operand("output"), Operand("output", part="flat")
MADE, FLAT_MADE, WHOLE_MADE = (Operand("temporary"), Operand("temporary", 0, "flat"), Operand("temporary", 0, "whole"))


class Temporary(NamedTuple):
    """A value that an op makes for itself: rows of its inputs' domain, or of edges."""

    width: int
    dtype: Any
    of_edges: bool = False


class Call(NamedTuple):
    """A kernel and its arguments; a call writes the last one.

    Attributes:
        kernel: the kernel.
        arguments: numbers, constant arrays, operands, and arrays of the graph.
        refuse: refuse(*arguments) raises ValueError; it is called where the kernel returns False.
    """

    kernel: Kernel | ByDegree
    arguments: tuple[Any, ...]
    refuse: Callable[..., object] | None = None


class ByDegree(NamedTuple):
    """A kernel that depends on the largest degree among edges: choose(degree) -> kernel."""

    choose: Callable[[int], Kernel]
    loops: Loops


class Step(NamedTuple):
    """A prepared op: calls of kernels, and on what.

    Attributes:
        calls: what computes a block of rows, call by call.
        gathers: numbers of the inputs that are read beyond the block's own rows.
        before: a call for all rows of the first gathered input, which makes whole temporaries; None: there is none.
        temporaries: what calls read and write beside inputs and output.
        begin: begin(graph, *gathered) prepares the calls of a run in place of `calls`; chains cannot have such an op.
        finish: changes the rows of the result in place, in NumPy.
        sparse: sparse(graph, *inputs) takes all inputs as whole SparseRows and returns the whole result, or None where
            its dense form would be faster. None: the op cannot do that.
        reads_packed: whether gathered inputs may be PackedRows; calls get their nibbles.
    """

    calls: tuple[Call, ...] = ()
    gathers: tuple[int, ...] = ()
    before: Call | None = None
    temporaries: tuple[Temporary, ...] = ()
    begin: Callable[..., tuple[Call, ...]] | None = None
    finish: Callable[[np.ndarray], np.ndarray] | None = None
    sparse: Callable[..., Any] | None = None
    reads_packed: bool = False

    @property
    def all_calls(self) -> tuple[Call, ...]:
        """All calls, in their order."""
        return self.calls if self.before is None else (self.before, *self.calls)


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


def stored_codes(codes: np.ndarray, grid: Grid) -> Codes:
    """Returns codes of a grid as kernels take them: uint8 offsets from its smallest code."""
    return (codes.astype(np.int16) - grid.qmin).astype(np.uint8)


def residual_of(op: BoundOp, role: str, grid: str) -> np.ndarray:
    """Returns the codes of a constant minus their zero point, int16."""
    residual: np.ndarray = op.tensors[role].astype(np.int16) - np.int16(op.grid(grid).zero_point)
    return residual
