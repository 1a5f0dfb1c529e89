"""Sums and maxima over the edges into each row, on a device: long rows in pieces, codes of 4 bits two a byte."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..adjacency import Adjacency
from ..graph import Graph
from ..kernels.common import accumulator_of_sums
from ..ops.bound import BoundOp
from ..ops.step import largest_of
from ..program.grid import Grid
from .device import Device
from .kernels import sums
from .kernels.rows import pack
from .launch import DTYPES, by_entry, by_row

LONG = 512
"""Most edges of a piece of a row, so that a node of very many edges does not set the time."""
SECTOR = 32
"""Bytes that a GPU reads at least: rows of no more codes gain nothing when they are packed."""
OFTEN = 4
"""Rows that are gathered this often on average are packed first."""


class Pieces(NamedTuple):
    """Rows of edges, of which long ones are cut; see kernels/sums.py.

    Shapes:
        starts [P + 1] int64, rows [P], slots [P]; of L long rows in S pieces: long [L], ends [L + 1].
    """

    starts: Tensor
    rows: Tensor
    slots: Tensor
    long: Tensor
    ends: Tensor

    @classmethod
    def of(cls, edges: Adjacency, device: Device) -> Pieces:
        """Cuts rows of more than LONG edges."""
        numbers = np.maximum(-(-edges.degrees // LONG), 1)
        rows = np.repeat(np.arange(numbers.size), numbers)
        within = np.arange(rows.size) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        starts = np.append(edges.indptr[rows] + LONG * within, edges.num_edges)
        of_long, long = numbers[rows] > 1, np.flatnonzero(numbers > 1)
        slots, ends = np.where(of_long, np.cumsum(of_long) - 1, -1), np.append(0, np.cumsum(numbers[long]))
        others = (device.put(array.astype(np.int32)) for array in (rows, slots, long, ends))
        return cls(device.put(starts.astype(np.int64)), *others)


class Written(NamedTuple):
    """What a kernel makes of the codes that it gathers.

    Attributes:
        result: "codes" of accumulators, "codes of columns", "acc": themselves, or the "largest" code; see `store`.
        factors: of rows [n].
        epilogue: multiplier and addend, of codes of columns [W] each; zero, lowest and highest.
    """

    result: str
    factors: Tensor
    epilogue: tuple[Tensor | float, Tensor | float, int, float, float] = 0.0, 0.0, 0, 0.0, 0.0


class Gather:
    """The edges that an op sees, and the rows that it gathers along them.

    Args:
        grid: of the rows.
        added: what is added up; None: the codes themselves, or nothing.
    """

    def __init__(self, op: BoundOp, graph: Graph, grid: Grid, device: Device, *, added: Grid | None = None) -> None:
        adjacency = op.adjacency(graph)
        self.indptr, self.sources = (device.of(op.of_edges(name), graph) for name in ("indptr", "sources"))
        self._number, self._rows = adjacency.num_edges, adjacency.indptr.size - 1
        self._grid, self._device = grid, device
        self._accumulator = DTYPES[accumulator_of_sums(adjacency.largest_degree, largest_of(added or grid))]
        self._pieces: Pieces | None = None
        if adjacency.largest_degree > LONG:
            self._pieces = device.kept(graph, ("pieces", op.loops), lambda: Pieces.of(adjacency, device))

    def run(self, kernel: Any, x: Tensor, written: Written, *about: Any, **constants: Any) -> Tensor:
        """Returns what a kernel of kernels/sums.py makes of rows x [N, W] along the edges: [n, W]."""
        width, pieces, result = x.shape[1], self._pieces, written.result
        x, is_packed = packed(x, self._grid, self._number, self._device)
        (acc, dtype), empty = self._accumulator, self._device.empty
        out = empty(self._rows, width, dtype=dtype if result == "acc" else torch.uint8)
        parts, starts = out, self.indptr
        rows = slots = starts  # which are not read
        if pieces is not None:
            starts, rows, slots = pieces[:3]
            parts = empty(len(starts) - 1 - self._rows + len(pieces.long), width, dtype=dtype)
        shape = {"SPLIT": pieces is not None, "PACKED": is_packed, **constants}
        if result != "largest":
            shape["ACC"] = acc
        operands = x, starts, rows, slots, self.sources, out, parts, width, *about
        number, mean_degree = len(starts) - 1, self._number / max(self._rows, 1)
        by_row(kernel, out, *operands, pieces=number, mean_degree=mean_degree, **shape)
        if pieces is not None:
            operands = parts, pieces.ends, pieces.long, out, width, written.factors, *written.epilogue
            number, mean_degree = len(pieces.long), len(parts) / len(pieces.long)
            by_row(sums.join, out, *operands, pieces=number, mean_degree=mean_degree, RESULT=result)
        return out


def packed(x: Tensor, grid: Grid, reads: int, device: Device, *, parts: int = 1) -> tuple[Tensor, bool]:
    """Returns codes [N, W] as kernels gather them, and whether they are packed: two of at most 4 bits a byte.

    Args:
        reads: how many rows are gathered.
        parts: packed rows are [N * parts, W / parts]: those of every head begin with a byte of their own.
    """
    rows, width = x.shape
    if grid.bits > 4 or width <= SECTOR or reads < OFTEN * rows:
        return x, False
    columns = width // parts
    out = device.empty(rows * parts, (columns + 1) // 2)
    by_entry(pack, out.numel(), x, out, out.numel(), columns, out.shape[1])
    return out, True
