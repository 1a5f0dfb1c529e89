"""A program as a list of calls in memory: worked out once, for inputs of any size."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-call"
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import typeof
from numba.core import types
from numba.np.numpy_support import from_dtype

from ..graph import Graph
from ..kernels import dispatch
from ..ops.bound import GraphArray
from ..ops.layout import Member
from ..ops.step import ByDegree, Call, Operand
from ..program.model import INPUT, OUTPUT
from . import native
from .values import LOOPED_EDGES, ONE, SIZES, Row, nibbles_of, operands_of, rows_of

MOST_EDGES = 1 << 15
"""Edges of the largest graph that a chain runs on; kernels are chosen for as many edges into one node."""


class Plan(NamedTuple):
    """What chains run.

    The table of addresses holds those of x and of the logits, of the arrays of the graph, of inner values and of
    constants. The table of sizes holds those of values.py, and the length of every array of the graph.

    Attributes:
        calls, words: see native.py.
        arrays: what is read of the graph.
        inner: the values that only the chain sees.
        constants: arrays that never change.
        loops: whether there are values of edges with self-loops.
        finish: see `Step`; of the last op.
    """

    calls: np.ndarray
    words: np.ndarray
    arrays: Sequence[GraphArray]
    inner: Mapping[str, Row]
    constants: Sequence[np.ndarray]
    loops: bool
    finish: Callable[[np.ndarray], np.ndarray] | None


def plan_of(members: Sequence[Member]) -> Plan:
    """Returns the plan of a program; no op but the last may have a `finish`."""
    planner = _Planner(members)
    for op, step in members:
        names = operands_of(op, step)
        for call in step.all_calls:
            planner.add(call, names)
        packed = nibbles_of(op.output.name)
        if packed in planner.rows:
            packing = Call(dispatch.packing("pack"), (Operand("input"), Operand("output")))
            planner.add(packing, {("input", 0): op.output.name, ("output", 0): packed})
    return planner.plan(members[-1][1].finish)


class _Planner:
    """Appends calls to a plan."""

    def __init__(self, members: Sequence[Member]) -> None:
        arguments = [argument for _, step in members for call in step.all_calls for argument in call.arguments]
        self._arrays = list(dict.fromkeys(array for array in arguments if isinstance(array, GraphArray)))
        self.rows = rows_of(members)
        self._inner = [name for name in self.rows if name not in (INPUT, OUTPUT)]
        self._addresses = {name: at for at, name in enumerate((INPUT, OUTPUT, *self._arrays, *self._inner))}
        self._constants: list[np.ndarray] = []
        self._calls: list[tuple[int, int, int]] = []
        self._words: list[int] = []

    def plan(self, finish: Any) -> Plan:
        """Returns the plan."""
        calls, words = np.array(self._calls, np.int64), np.array(self._words, np.int64)
        inner = {name: self.rows[name] for name in self._inner}
        loops = any(row.size == LOOPED_EDGES for row in self.rows.values())
        return Plan(calls, words, self._arrays, inner, self._constants, loops, finish)

    def add(self, call: Call, names: Mapping[tuple[str, int], str]) -> None:
        """Appends a call; names: those of the values that operands stand for."""
        chosen = call.kernel.choose(MOST_EDGES) if isinstance(call.kernel, ByDegree) else call.kernel
        kernel, first = native.without_partial(chosen)
        begin, kinds = len(self._words), []
        for argument in (*first, *call.arguments):
            kind, words = self._argument(argument, names)
            kinds.append(kind)
            self._words += words
        entry = native.entry(kernel, tuple(kinds))
        self._calls.append((entry.link, entry.kernel, begin))

    def _argument(self, argument: Any, names: Mapping[tuple[str, int], str]) -> tuple[Any, list[int]]:
        """Returns the type of an argument and its words."""
        if isinstance(argument, Operand):
            name = names[argument.of, argument.number]
            row, address = self.rows[name], self._addresses[name]
            kind = from_dtype(np.dtype(row.dtype))
            if argument.part == "flat":
                return types.Array(kind, 1, "C"), [address, row.size, row.width]
            return types.Array(kind, 2, "C"), [address, row.size, 1, ONE, row.width]
        if isinstance(argument, GraphArray):
            length = SIZES + self._arrays.index(argument)
            return types.Array(_kind_of(argument), 1, "C"), [self._addresses[argument], length, 1]
        if isinstance(argument, np.ndarray):
            self._constants.append(argument)
            address = len(self._addresses) + len(self._constants) - 1
            return typeof(argument), [address, *(word for size in argument.shape for word in (ONE, size))]
        return typeof(argument), [] if argument is None or isinstance(argument, np.dtype) else [_bits(argument)]


@cache
def _kind_of(array: GraphArray) -> Any:
    """Returns numba's type of the elements of an array that graphs have."""
    nothing = Graph(np.empty((2, 0), np.int64), 0)
    nothing.weights = np.empty(0, np.float32)
    return from_dtype(array.of(nothing).dtype)


def _bits(number: Any) -> int:
    """Returns a number as a word: whole numbers as they are, of floats the bits."""
    number = np.asarray(number)
    return int(number.view(f"i{number.itemsize}") if number.dtype.kind == "f" else number)
