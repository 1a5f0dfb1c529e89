"""What every call of a stage needs to know of its ops and values, worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from ..buffers import Scratch
from ..kernels import dispatch
from ..program.model import Value
from .bound import BoundOp
from .packed_rows import PackedRows, is_packed
from .step import Block, Step

BLOCK_BYTES = 1 << 20
"""Size of the largest value that a block reads again. In smaller blocks, calls cost more than the cache saves."""

Member = tuple[BoundOp, Step]

Gather = tuple[str, bool]
"""The name of a value that an op gathers, and whether it gathers it packed."""


class Held(NamedTuple):
    """A value as a block holds it.

    Attributes:
        name, width, dtype: of the value.
        of_edges: whether it has a row for every edge.
        piece: its piece of a block's scratch memory; -1: it needs none.
    """

    name: str
    width: int
    dtype: type[np.generic]
    of_edges: bool
    piece: int

    def memory(self, block: Block, scratch: Scratch) -> np.ndarray:
        """Returns memory for the block's rows."""
        span = block.edges if self.of_edges else block.rows
        return scratch.empty(self.piece, span.stop - span.start, self.width, self.dtype)

    def read(self, whole: np.ndarray | PackedRows, block: Block, scratch: Scratch) -> np.ndarray:
        """Returns the block's rows of a whole value; those of packed rows are unpacked into their piece of memory."""
        span = block.edges if self.of_edges else block.rows
        if isinstance(whole, np.ndarray):
            return whole[span]
        out = self.memory(block, scratch)
        dispatch.packing("unpack")(whole.nibbles[span], out)
        return out


class Place(NamedTuple):
    """An op in its stage.

    Attributes:
        step: its prepared form.
        gathers: what it gathers.
        begins: inputs from other stages that no earlier op of this stage has read.
        inputs: numbers and names of the inputs of which it reads the block's rows.
        output: its result.
    """

    step: Step
    gathers: tuple[Gather, ...]
    begins: tuple[Held, ...]
    inputs: tuple[tuple[int, str], ...]
    output: Held


class Layout(NamedTuple):
    """The ops of a stage, or its last ones.

    Attributes:
        places: the ops.
        reads: names of what they read; the values of other stages are among them.
        results: what is kept whole.
        row_bytes, edge_bytes: sizes, for a row and for an edge, of the largest values that a block reads again.
    """

    places: tuple[Place, ...]
    reads: tuple[str, ...]
    results: tuple[Value, ...]
    row_bytes: int
    edge_bytes: int

    @classmethod
    def of(cls, members: Sequence[Member], results: set[str], pieces: Mapping[str, int]) -> Layout:
        """Works out the layout of ops, with the names of the results and the pieces of memory of their stage."""
        places, made, seen = [], {op.output.name for op, _ in members}, set[str]()

        def held(value: Value) -> Held:
            return Held(value.name, value.width, dtype_of(value), value.domain == "edge", pieces.get(value.name, -1))

        for op, step in members:
            own = {i: value for i, value in enumerate(op.inputs) if i not in step.gathers}
            begins = {value.name: held(value) for value in own.values() if value.name not in made | seen}
            seen |= begins.keys()
            gathered = [op.inputs[number] for number in step.gathers]
            gathers = tuple((value.name, step.reads_packed and is_packed(value)) for value in gathered)
            names = tuple((i, value.name) for i, value in own.items())
            places.append(Place(step, gathers, tuple(begins.values()), names, held(op.output)))
        outputs = [op.output for op, _ in members]
        again = [value for value in outputs if value.name not in results] or outputs
        sizes = {"edge": 0, "row": 0}
        for value in again:
            kind = "edge" if value.domain == "edge" else "row"
            sizes[kind] = max(sizes[kind], value.width * np.dtype(dtype_of(value)).itemsize)
        reads = dict.fromkeys(value.name for op, _ in members for value in op.inputs if value.name not in made)
        kept = tuple(value for value in outputs if value.name in results)
        return cls(tuple(places), tuple(reads), kept, sizes["row"], sizes["edge"])

    def rows_of_block(self, rows: int, edges: int) -> int:
        """Returns how many rows keep each value that is read again within BLOCK_BYTES, in a graph of this size."""
        return max(BLOCK_BYTES * rows // max(self.row_bytes * rows, self.edge_bytes * (edges or rows), 1), 1)


def dtype_of(value: Value) -> type[np.generic]:
    """Returns the dtype of the array that holds a value."""
    return np.float32 if value.grid is None else np.uint8


def block_inputs(op: BoundOp, step: Step) -> list[Value]:
    """Returns the inputs of which an op reads only the block's own rows or edges."""
    return [value for i, value in enumerate(op.inputs) if i not in step.gathers]


class Lifetime(NamedTuple):
    """The numbers of the first and the last op that need a value's memory."""

    first: int
    last: int


def assign_pieces(lifetimes: Mapping[str, Lifetime]) -> dict[str, int]:
    """Returns the number of a piece of memory for every value; values that are alive at once get different ones.

    Values are taken in the order in which their lives begin. Each gets a free piece, that is one whose values have all
    been read for the last time by earlier ops, or else a new one. Of several free pieces it gets the one that was used
    last, since that is most likely still in the cache.
    """
    pieces: dict[str, int] = {}
    in_use: list[tuple[int, int]] = []  # a heap of last uses and pieces; of one last use, the lowest piece comes last
    free: list[int] = []  # in order of last use
    number = 0
    for name, lifetime in sorted(lifetimes.items(), key=lambda item: item[1].first):
        while in_use and in_use[0][0] < lifetime.first:
            free.append(-heappop(in_use)[1])
        if free:
            pieces[name] = free.pop()
        else:
            pieces[name] = number
            number += 1
        heappush(in_use, (lifetime.last, -pieces[name]))
    return pieces
