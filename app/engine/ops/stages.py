"""Stages of compiled ops: a block of rows passes through all ops of a stage while it is in the cache.

An op joins the stage before it unless it has other rows, or gathers rows that this stage is still computing. Only
values that other stages read are kept whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..adjacency import Adjacency
from ..graph import Graph
from ..kernels import dispatch
from ..kernels.sparse import SparseRows, densified
from ..program.model import Value
from ..program.rules import RULES
from ..workers import Workers
from .bound import BoundOp
from .layout import Gather, Layout, Lifetime, Member, assign_pieces, block_inputs, dtype_of
from .packed_rows import Allocate, PackedRows, is_packed, packed, unpacked
from .run import Run
from .step import Block, Step


class RowSpace(NamedTuple):
    """What the rows of a stage are, and which edges lead into them.

    Attributes:
        domain: of the rows.
        self_loops: whether these edges include self-loops; None: no op of the stage reads edges.
    """

    domain: str
    self_loops: bool | None

    @classmethod
    def of(cls, op: BoundOp) -> RowSpace:
        """Returns the rows of an op. Those of ops along edges are the targets, also where they write edge values."""
        if "self_loops" in RULES[op.op.kind].attributes:
            return cls("node", bool(op.attributes.get("self_loops", False)))
        return cls(op.output.domain, None)

    def joined(self, other: RowSpace) -> RowSpace | None:
        """Returns the rows of a stage that has ops of both; None if there can be no such stage."""
        loops = {self.self_loops, other.self_loops} - {None}
        return RowSpace(self.domain, *(loops or {None})) if self.domain == other.domain and len(loops) < 2 else None

    def edges(self, graph: Graph) -> Adjacency | None:
        """Returns the edges into the rows."""
        if self.domain == "graph":
            return graph.members
        return None if self.self_loops is None else graph.adjacency(self_loops=self.self_loops)


class StageShape(NamedTuple):
    """The number of rows of a stage in one graph, and the edges into them if its ops read edges."""

    rows: int
    edges: Adjacency | None

    def of(self, value: Value) -> tuple[int, int]:
        """Returns the shape of a whole value."""
        return self.rows if self.edges is None or value.domain != "edge" else self.edges.num_edges, value.width

    def block(self, first: int, last: int) -> Block:
        """Returns the block of rows first..last-1."""
        rows = slice(first, last)
        if self.edges is None:
            return Block(rows, rows, rows)
        begin, end = self.edges.indptr[first].item(), self.edges.indptr[last].item()
        return Block(rows, slice(first, last + 1), slice(begin, end))


def fused(members: Sequence[Member], workers: Workers, *, together: bool) -> list[FusedStage]:
    """Returns the stages of a program: as few as possible if `together`, else one for each op."""
    stages: list[FusedStage] = []
    for op, step in members:
        if not (together and stages and stages[-1].takes(op, step)):
            stages.append(FusedStage(RowSpace.of(op), workers))
        stages[-1].add(op, step)
    readers: dict[str, set[int]] = {}
    for number, stage in enumerate(stages):
        for op in stage.ops:
            for value in op.inputs:
                readers.setdefault(value.name, set()).add(number)
    for number, stage in enumerate(stages):
        made = {op.output.name for op in stage.ops}
        stage.plan({name for name in made if readers.get(name, set()) - {number}})
    return stages


class FusedStage:
    """Ops that every block of rows passes through; see `Stage`.

    After all ops have been added, `plan` must be called once.

    Attributes:
        members: the ops with their prepared forms.
        pieces: the piece of a block's scratch memory for every value that needs one; see `plan`.
    """

    def __init__(self, rows: RowSpace, workers: Workers) -> None:
        self.members: list[Member] = []
        self.pieces: dict[str, int] = {}
        self._rows, self._workers = rows, workers
        self._made: set[str] = set()
        self._last_read: dict[str, int] = {}
        self._results: set[str] = set()
        self._layouts: dict[int, Layout] = {}

    @property
    def ops(self) -> list[BoundOp]:
        """The ops, in their order."""
        return [op for op, _ in self.members]

    def takes(self, op: BoundOp, step: Step) -> bool:
        """Returns whether an op can be added."""
        if any(op.inputs[number].name in self._made for number in step.gathers):
            return False
        rows = RowSpace.of(op)
        if rows.domain == "edge":  # an op on edge values alone works on the edges of its input
            return any(value.name in self._made for value in op.inputs)
        return self._rows.joined(rows) is not None

    def add(self, op: BoundOp, step: Step) -> None:
        """Appends an op."""
        self._rows = self._rows.joined(RowSpace.of(op)) or self._rows
        self.members.append((op, step))
        self._made.add(op.output.name)
        self._last_read |= {value.name: len(self.members) - 1 for value in op.inputs}

    def plan(self, read_elsewhere: set[str]) -> None:
        """Decides which values are kept whole and which values of a block share memory.

        Results, which are kept whole, are the values that other stages read or that nobody reads. A block needs a piece
        of scratch memory for each value that it computes and that is no result, for results that are kept packed (their
        codes are computed before they are packed), and for packed inputs, which are unpacked when first read.
        """
        self._results = {name for name in self._made if name in read_elsewhere or name not in self._last_read}
        lifetimes: dict[str, Lifetime] = {}
        for number, (op, step) in enumerate(self.members):
            held = [value for value in block_inputs(op, step) if value.name not in self._made and is_packed(value)]
            if op.output.name not in self._results or is_packed(op.output):
                held.append(op.output)
            for value in held:
                lifetimes.setdefault(value.name, Lifetime(number, self._last_read.get(value.name, number)))
        self.pieces = assign_pieces(lifetimes)

    def run(self, graph: Graph, values: Mapping[str, Any]) -> dict[str, Any]:
        """See `Stage.run`."""
        results: dict[str, Any] = {}
        done = self._run_sparse(graph, values, results)
        if done < len(self.members):
            results |= self._run_blocks(graph, {**values, **results} if done else values, done)
        return {name: value for name, value in results.items() if name in self._results} if done else results

    def _run_sparse(self, graph: Graph, values: Mapping[str, Any], results: dict[str, Any]) -> int:
        """Runs ops on sparse rows as long as that is possible; returns how many it has run."""
        for number, (op, step) in enumerate(self.members):
            if step.sparse is None or not op.inputs:
                return number
            inputs = [results[v.name] if v.name in results else values[v.name] for v in op.inputs]
            stays = all(isinstance(x, SparseRows) for x in inputs)
            result = step.sparse(graph, *inputs) if stays else None
            if result is None:
                return number
            results[op.output.name] = result
        return len(self.members)

    def _run_blocks(self, graph: Graph, values: Mapping[str, Any], done: int) -> dict[str, Any]:
        """Runs the ops from number `done` on, block by block; returns their whole results."""
        layout = self._layouts.get(done)
        if layout is None:
            layout = self._layouts[done] = Layout.of(self.members[done:], self._results, self.pieces)
        whole = {name: densified(values[name]) for name in layout.reads if name in values}
        shape = self._shape(graph, whole)
        results = {value.name: self._empty(shape, value) for value in layout.results}
        gathered = GatheredValues(whole, self._workers.buffers.empty)
        begun = [Run.begin(place.step, graph, gathered.of(place.gathers), self._workers) for place in layout.places]

        def run_block(first: int, last: int) -> None:
            block = shape.block(first, last)
            with self._workers.scratch() as scratch:
                rows: dict[str, np.ndarray] = {}
                for place, run in zip(layout.places, begun, strict=True):
                    for held in place.begins:
                        rows[held.name] = held.read(whole[held.name], block, scratch)
                    result, held = results.get(place.output.name), place.output
                    if isinstance(result, np.ndarray):
                        out = result[block.edges if held.of_edges else block.rows]
                    else:
                        out = held.memory(block, scratch)
                    run.compute(block, {number: rows[name] for number, name in place.inputs}, out)
                    rows[held.name] = out
                    if isinstance(result, PackedRows):
                        dispatch.packing("pack")(out, result.nibbles[block.rows])

        edges = 0 if shape.edges is None else shape.edges.num_edges
        most_rows = layout.rows_of_block(shape.rows, edges)
        if shape.rows <= most_rows and self._workers.leaves_whole(shape.rows, edges):
            run_block(0, shape.rows)
        else:
            self._workers.run(run_block, shape.rows, None if shape.edges is None else shape.edges.work, most_rows)
        return results

    def _empty(self, shape: StageShape, value: Value) -> np.ndarray | PackedRows:
        """Returns memory for a whole result."""
        rows, width = shape.of(value)
        if is_packed(value):
            return PackedRows(self._workers.buffers.empty((rows, width // 2), np.uint8))
        return self._workers.buffers.empty((rows, width), dtype_of(value))

    def _shape(self, graph: Graph, whole: Mapping[str, Any]) -> StageShape:
        if self._rows.domain == "edge":
            return StageShape(len(whole[self.members[0][0].inputs[0].name]), None)
        return StageShape(graph.rows(self._rows.domain), self._rows.edges(graph))


class GatheredValues:
    """Whole values in the form in which ops gather them; each is packed or unpacked at most once."""

    def __init__(self, whole: Mapping[str, Any], allocate: Allocate) -> None:
        self._whole, self._allocate = whole, allocate
        self._packed: dict[str, PackedRows] = {}
        self._unpacked: dict[str, np.ndarray] = {}

    def of(self, gathers: Sequence[Gather]) -> list[Any]:
        """Returns the values that an op gathers."""
        return [self._form(name, as_packed=as_packed) for name, as_packed in gathers]

    def _form(self, name: str, *, as_packed: bool) -> PackedRows | np.ndarray:
        forms: dict[str, Any] = self._packed if as_packed else self._unpacked
        if name not in forms:
            forms[name] = (packed if as_packed else unpacked)(self._whole[name], self._allocate)
        form: PackedRows | np.ndarray = forms[name]
        return form
