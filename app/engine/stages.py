"""Ops in stages: a block of rows passes all ops of a stage while it is in the cache; only what others read is kept.

An op joins the stage before it unless it gathers rows which that stage is still making, or has other rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from app.engine.bound import BoundOp
from app.engine.graph import Adjacency, Graph
from app.engine.sparse import SparseRows, densified
from app.engine.step import Block, Step
from app.engine.workers import Workers
from models.quantization.program import Value
from models.quantization.program_rules import RULES

BLOCK_BYTES = 1 << 18
"""Size of the largest value a block reads again: two of them and the weights fit the second-level cache."""

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
        """Results are what others read, and what nobody reads; the rest shares pieces of scratch memory."""
        free: list[int] = []
        for number, (op, _) in enumerate(self.members):
            name = op.output.name
            if name in self._last_read and name not in read_elsewhere:
                self.pieces[name] = free.pop() if free else len(set(self.pieces.values()))
            free += [piece for value, piece in self.pieces.items() if self._last_read[value] == number]

    def run(self, graph: Graph, values: Mapping[str, Any]) -> dict[str, Any]:
        """See `Stage.run`."""
        results: dict[str, Any] = {}
        done = self._run_sparse(graph, values, results)
        if done < len(self.members):
            results |= self._run_blocks(graph, {**values, **results}, done)
        return {name: value for name, value in results.items() if name not in self.pieces}

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

    def _run_blocks(self, graph: Graph, values: Mapping[str, Any], done: int) -> dict[str, np.ndarray]:
        """Runs the ops from number `done` on, block by block."""
        members = self.members[done:]
        whole = {v.name: densified(values[v.name]) for op, _ in members for v in op.inputs if v.name in values}
        layout = self._layout(graph, whole)
        outputs = [op.output for op, _ in members]
        kept = {
            value.name: self._workers.buffers.empty(layout.shape(value), dtype_of(value))
            for value in outputs
            if value.name not in self.pieces
        }
        begun = [
            (
                step.start(graph, *(whole[op.inputs[i].name] for i in step.gathers)),
                [value for i, value in enumerate(op.inputs) if i not in step.gathers],
            )
            for op, step in members
        ]

        def part(first: int, last: int) -> None:
            block = layout.block(first, last)
            with self._workers.scratch() as scratch:
                local: dict[str, np.ndarray] = {}
                for (compute, own), output in zip(begun, outputs, strict=True):
                    rows = [local[v.name] if v.name in local else whole[v.name][block.of(v)] for v in own]
                    place = block.of(output)
                    if output.name in kept:
                        out = kept[output.name][place]
                    else:
                        number, length = self.pieces[output.name], place.stop - place.start
                        out = scratch.empty(number, length, output.width, dtype_of(output))
                    compute(block, *rows, out)
                    local[output.name] = out

        work = None if layout.edges is None else layout.edges.work
        again = [value for value in outputs if value.name in self.pieces]
        self._workers.run(part, layout.rows, work, layout.rows_of_block(again or outputs))
        return kept

    def _layout(self, graph: Graph, whole: Mapping[str, np.ndarray]) -> Layout:
        if self._frame.domain == "edge":
            return Layout(len(whole[self.members[0][0].inputs[0].name]), None)
        return Layout(graph.rows(self._frame.domain), self._frame.edges(graph))
