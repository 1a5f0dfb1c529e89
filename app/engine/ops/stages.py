"""Ops in stages: a block of rows passes all ops of a stage while it is in the cache; only what others read is kept.

An op joins the stage before it unless it gathers rows which that stage is still making, or has other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..graph import Adjacency, Graph
from ..kernels import dispatch
from ..kernels.sparse import SparseRows, densified
from ..program.model import Value
from ..program.rules import RULES
from ..workers import Workers
from .bound import BoundOp
from .packed_rows import Empty, PackedRows, is_packed, packed, unpacked
from .step import Block, Step

BLOCK_BYTES = 1 << 20
"""Size of the largest value a block reads again; of smaller blocks the calls cost more than the cache saves."""

Member = tuple[BoundOp, Step]


class Frame(NamedTuple):
    """What the rows of a stage are, and which edges lead into them (None: no op asks)."""

    domain: str
    self_loops: bool | None

    @classmethod
    def of(cls, op: BoundOp) -> Frame:
        """That of an op; ops along edges have the targets for rows, whether they write edges or nodes."""
        if "self_loops" in RULES[op.op.kind].attributes:
            return cls("node", bool(op.attributes.get("self_loops", False)))
        return cls(op.output.domain, None)

    def joined(self, other: Frame) -> Frame | None:
        """One frame for both, if there is one."""
        loops = {self.self_loops, other.self_loops} - {None}
        return Frame(self.domain, *(loops or {None})) if self.domain == other.domain and len(loops) < 2 else None

    def edges(self, graph: Graph) -> Adjacency | None:
        """The edges into the rows."""
        if self.domain == "graph":
            return graph.members
        return None if self.self_loops is None else graph.adjacency(self.self_loops)


class Layout(NamedTuple):
    """The rows of a stage in a graph, and the edges into them, if its ops ask for them."""

    rows: int
    edges: Adjacency | None

    def shape(self, value: Value) -> tuple[int, int]:
        """Of a whole value."""
        return self.rows if self.edges is None or value.domain != "edge" else self.edges.num_edges, value.width

    def block(self, first: int, last: int) -> Block:
        """Rows first..last-1."""
        rows = slice(first, last)
        if self.edges is None:
            return Block(rows, rows, rows)
        begin, end = self.edges.indptr[first].item(), self.edges.indptr[last].item()
        return Block(rows, slice(first, last + 1), slice(begin, end))

    def rows_of_block(self, values: Sequence[Value]) -> int:
        """How many rows keep each of these values within BLOCK_BYTES."""
        sizes = [dtype_of(value)().itemsize * int(np.prod(self.shape(value))) for value in values]
        return max(BLOCK_BYTES * self.rows // max(*sizes, 1), 1)


def dtype_of(value: Value) -> type[np.generic]:
    """That of the array a value is kept in."""
    return np.float32 if value.grid is None else np.uint8


def fused(members: Sequence[Member], workers: Workers, together: bool) -> list[FusedStage]:
    """The stages of a program; one for each op unless `together`."""
    stages: list[FusedStage] = []
    for op, step in members:
        if not (together and stages and stages[-1].takes(op, step)):
            stages.append(FusedStage(Frame.of(op), workers))
        stages[-1].add(op, step)
    for number, stage in enumerate(stages):
        others = [member for other in stages[:number] + stages[number + 1 :] for member in other.members]
        stage.plan({value.name for op, _ in others for value in op.inputs})
    return stages


class FusedStage:
    """See the module and `Stage`."""

    def __init__(self, frame: Frame, workers: Workers) -> None:
        self.members: list[Member] = []
        self._frame, self._workers = frame, workers
        self._made: dict[str, Value] = {}
        self._last_read: dict[str, int] = {}
        self._results: set[str] = set()
        self.pieces: dict[str, int] = {}

    @property
    def ops(self) -> list[BoundOp]:
        """Its ops."""
        return [op for op, _ in self.members]

    def takes(self, op: BoundOp, step: Step) -> bool:
        """Whether the op can be the next."""
        if any(op.inputs[number].name in self._made for number in step.gathers):
            return False
        frame = Frame.of(op)
        if frame.domain == "edge":  # knows no graph, but its edges are those of its input
            return any(value.name in self._made for value in op.inputs)
        return self._frame.joined(frame) is not None

    def add(self, op: BoundOp, step: Step) -> None:
        """Makes the op the next."""
        self._frame = self._frame.joined(Frame.of(op)) or self._frame
        self.members.append((op, step))
        self._made[op.output.name] = op.output
        self._last_read |= {value.name: len(self.members) - 1 for value in op.inputs}

    def plan(self, read_elsewhere: set[str]) -> None:
        """Results are what others read, and what nobody reads; all else that a block holds shares pieces of memory."""
        self._results = {name for name in self._made if name in read_elsewhere or name not in self._last_read}
        free: list[int] = []
        for number, (op, step) in enumerate(self.members):
            held = [value for value in own_inputs(op, step) if value.name not in self._made and is_packed(value)]
            if op.output.name not in self._results or is_packed(op.output):
                held.append(op.output)
            new = [value.name for value in held if value.name not in self.pieces]
            for name in new:
                self.pieces[name] = free.pop() if free else len(set(self.pieces.values()))
            done = [name for name in self.pieces if self._last_read.get(name) == number]
            free += [self.pieces[name] for name in {*done, *(name for name in new if name not in self._last_read)}]

    def run(self, graph: Graph, values: Mapping[str, Any]) -> dict[str, Any]:
        """See `Stage.run`."""
        results: dict[str, Any] = {}
        done = self._run_sparse(graph, values, results)
        if done < len(self.members):
            results |= self._run_blocks(graph, {**values, **results}, done)
        return {name: value for name, value in results.items() if name in self._results}

    def _run_sparse(self, graph: Graph, values: Mapping[str, Any], results: dict[str, Any]) -> int:
        """Runs the first ops on sparse rows, as long as they can; how many."""
        for number, (op, step) in enumerate(self.members):
            inputs = [results[v.name] if v.name in results else values[v.name] for v in op.inputs]
            stays = step.sparse is not None and inputs and all(isinstance(x, SparseRows) for x in inputs)
            result = step.sparse(graph, *inputs) if step.sparse is not None and stays else None
            if result is None:
                return number
            results[op.output.name] = result
        return len(self.members)

    def _run_blocks(self, graph: Graph, values: Mapping[str, Any], done: int) -> dict[str, Any]:
        """Runs the ops from number `done` on, block by block."""
        members = self.members[done:]
        names = {value.name for op, _ in members for value in op.inputs if value.name in values}
        whole = {name: densified(values[name]) for name in names}
        layout = self._layout(graph, whole)
        kept = {op.output.name: self._empty(layout, op.output) for op, _ in members if op.output.name in self._results}
        gathered = Gathered(whole, self._workers.buffers.empty)
        begun = [(op, step.start(graph, *gathered.by(op, step)), own_inputs(op, step)) for op, step in members]

        def part(first: int, last: int) -> None:
            block = layout.block(first, last)
            with self._workers.scratch() as scratch:
                rows: dict[str, np.ndarray] = {}

                def room(value: Value, place: slice) -> np.ndarray:
                    length, number = place.stop - place.start, self.pieces[value.name]
                    return scratch.empty(number, length, value.width, dtype_of(value))

                for op, compute, own in begun:
                    for value in own:
                        if value.name not in rows:
                            rows[value.name] = read(whole[value.name], block.of(value), partial(room, value))
                    place, target = block.of(op.output), kept.get(op.output.name)
                    out = target[place] if isinstance(target, np.ndarray) else room(op.output, place)
                    compute(block, *(rows[value.name] for value in own), out)
                    rows[op.output.name] = out
                    if isinstance(target, PackedRows):
                        dispatch.nibbles("pack")(out, target.nibbles[place])

        work = None if layout.edges is None else layout.edges.work
        again = [op.output for op, _ in members if op.output.name not in self._results]
        self._workers.run(part, layout.rows, work, layout.rows_of_block(again or [op.output for op, _ in members]))
        return kept

    def _empty(self, layout: Layout, value: Value) -> np.ndarray | PackedRows:
        """Memory of a result."""
        rows, width = layout.shape(value)
        if is_packed(value):
            return PackedRows(self._workers.buffers.empty((rows, width // 2), np.uint8))
        return self._workers.buffers.empty((rows, width), dtype_of(value))

    def _layout(self, graph: Graph, whole: Mapping[str, Any]) -> Layout:
        if self._frame.domain == "edge":
            return Layout(len(whole[self.members[0][0].inputs[0].name]), None)
        return Layout(graph.rows(self._frame.domain), self._frame.edges(graph))


def own_inputs(op: BoundOp, step: Step) -> list[Value]:
    """What an op reads of the block's own rows or edges."""
    return [value for i, value in enumerate(op.inputs) if i not in step.gathers]


def read(whole: np.ndarray | PackedRows, place: slice, room: Callable[[slice], np.ndarray]) -> np.ndarray:
    """Rows of a whole value; what is packed is unpacked into `room`."""
    if isinstance(whole, np.ndarray):
        return whole[place]
    out = room(place)
    dispatch.nibbles("unpack")(whole.nibbles[place], out)
    return out


class Gathered:
    """Whole values as ops want to gather them; each is packed or unpacked at most once."""

    def __init__(self, whole: Mapping[str, Any], empty: Empty) -> None:
        self._whole, self._empty = whole, empty
        self._forms: dict[tuple[str, bool], Any] = {}

    def by(self, op: BoundOp, step: Step) -> list[Any]:
        """Those that an op gathers."""
        return [self._form(op.inputs[i], step.reads_packed and is_packed(op.inputs[i])) for i in step.gathers]

    def _form(self, value: Value, as_nibbles: bool) -> Any:
        key = value.name, as_nibbles
        if key not in self._forms:
            self._forms[key] = (packed if as_nibbles else unpacked)(self._whole[value.name], self._empty)
        return self._forms[key]
