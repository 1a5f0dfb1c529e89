"""The values of a program as a chain sees them: rows of some size and width that some of the ops need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops.bound import BoundOp
from ..ops.layout import Lifetime, Member, dtype_of
from ..ops.packed_rows import is_packed
from ..ops.step import Step
from ..program.model import INPUT
from ..program.rules import RULES

ONE, NODES, GRAPHS, EDGES, LOOPED_EDGES, SIZES = range(6)
"""The first entries of the table of sizes, and how many these are."""

OF_DOMAIN: Mapping[str, int] = {"node": NODES, "graph": GRAPHS}


class Row(NamedTuple):
    """Rows of a value.

    Attributes:
        size: their number, by its place in the table of sizes.
        width, dtype: of a row.
        life: the ops that need it.
    """

    size: int
    width: int
    dtype: Any
    life: Lifetime

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.width * int(np.dtype(self.dtype).itemsize)


def rows_of(members: Sequence[Member]) -> dict[str, Row]:
    """Returns the rows of all values of a program, by name.

    Among them are the temporaries of ops and, of values that are gathered as packed rows, the nibbles.
    """
    last: dict[str, int] = {}
    for number, (op, step) in enumerate(members):
        last |= dict.fromkeys(operands_of(op, step).values(), number)
    first = members[0][0]
    width = next((v.width for op, _ in members for v in op.inputs if v.name == INPUT), first.output.width)
    rows = {INPUT: Row(NODES, width, np.float32, Lifetime(0, last.get(INPUT, 0)))}
    edges: dict[str, int] = {}
    for number, (op, step) in enumerate(members):
        value, along = op.output, _edges_along(op, edges)
        edges[value.name] = along
        own = OF_DOMAIN.get(value.domain, along)
        packed = nibbles_of(value.name)
        rows[value.name] = Row(own, value.width, dtype_of(value), Lifetime(number, last[value.name]))
        if packed in last:
            rows[packed] = Row(own, value.width // 2, np.uint8, Lifetime(number, last[packed]))
        for i, made in enumerate(step.temporaries):
            size = along if made.of_edges else OF_DOMAIN.get(value.domain, NODES)
            rows[_temporary(op, i)] = Row(size, made.width, made.dtype, Lifetime(number, number))
    return rows


def operands_of(op: BoundOp, step: Step) -> dict[tuple[str, int], str]:
    """Returns the names of the values that the operands of an op's calls stand for."""
    names = {("output", 0): op.output.name}
    for i, value in enumerate(op.inputs):
        packed = i in step.gathers and step.reads_packed and is_packed(value)
        names["input", i] = nibbles_of(value.name) if packed else value.name
    return names | {("temporary", i): _temporary(op, i) for i in range(len(step.temporaries))}


def nibbles_of(name: str) -> str:
    """Returns the name of a value's packed rows."""
    return f"{name}\0nibbles"


def _temporary(op: BoundOp, number: int) -> str:
    return f"{op.output.name}\0{number}"


def _edges_along(op: BoundOp, edges: Mapping[str, int]) -> int:
    """Returns the size of the op's values of edges: by its own edges, or as its inputs have it."""
    if "self_loops" in RULES[op.op.kind].attributes:
        return LOOPED_EDGES if op.loops else EDGES
    return next((edges[value.name] for value in op.inputs if value.domain == "edge"), EDGES)
