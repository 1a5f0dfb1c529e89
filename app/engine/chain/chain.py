"""Runs whole programs on small inputs."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import addressof, c_char
from struct import Struct
from typing import NamedTuple

import numpy as np

from .. import workers
from ..buffers import CACHE_LINE, aligned_bytes
from ..features import Features
from ..graph import Graph
from ..kernels.sparse import densified
from ..memory import kept
from ..ops import layout
from ..ops.layout import Member, assign_pieces
from . import native
from .plan import MOST_EDGES, Plan, plan_of
from .values import EDGES, LOOPED_EDGES, SIZES

LEAST = 16
"""Rows and edges of the smallest memory."""


class Arena:
    """Memory for the inner values of one call at a time, on inputs of up to so many rows and edges.

    Attributes:
        addresses, sizes: the tables of native.py, whose first entries every call writes.
        tables: where these begin.
    """

    def __init__(self, plan: Plan, rows: int, edges: int) -> None:
        pieces = assign_pieces({name: row.life for name, row in plan.inner.items()})
        length = [0] * (max(pieces.values(), default=-1) + 1)
        for name, row in plan.inner.items():
            needed = row.row_bytes * (edges if row.size in (EDGES, LOOPED_EDGES) else rows)
            length[pieces[name]] = max(length[pieces[name]], needed)
        starts = np.cumsum([0, *(-(-size // CACHE_LINE) * CACHE_LINE for size in length)])
        self._memory = aligned_bytes(int(starts[-1]))
        begin = address_of(self._memory)
        inner = [begin + int(starts[pieces[name]]) for name in plan.inner]
        outer = [0] * (2 + len(plan.arrays))
        addresses = np.array([*outer, *inner, *map(address_of, plan.constants)], np.int64)
        sizes = np.ones(SIZES + len(plan.arrays), np.int64)
        self.addresses, self.sizes = addresses.data, sizes.data
        self.tables = address_of(addresses), address_of(sizes)


class Prepared(NamedTuple):
    """A plan and what calls make of it. They stay together: threads that make first calls at once have a plan each.

    Attributes:
        plan: what `calls` points into.
        calls: the first arguments of `native.run`.
        first, sizes: the addresses and the sizes that every call writes: of these all but the first.
    """

    plan: Plan
    calls: tuple[int, int, int]
    first: Struct
    sizes: Struct

    @classmethod
    def of(cls, plan: Plan) -> Prepared:
        """Prepares a plan."""
        calls, arrays = (address_of(plan.calls), len(plan.calls), address_of(plan.words)), len(plan.arrays)
        return cls(plan, calls, Struct(f"{2 + arrays}q"), Struct(f"{SIZES - 1 + arrays}q"))


class Chain:
    """A program that runs on small inputs as one call; any number of threads may call it.

    Memory is kept for inputs of up to twice the size, one block for every call that ran at once.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._arenas: dict[tuple[int, int], list[Arena]] = {}
        last = members[-1][0].output
        self._domain, self._width = last.domain, last.width
        values = [op.output for op, _ in members]
        self._row_bytes = max(value.width * np.dtype(layout.dtype_of(value)).itemsize for value in values)
        steps = [step for _, step in members]
        in_python = [step for step in steps if step.begin] + [step for step in steps[:-1] if step.finish]
        self._possible = native.CAN_COMPILE and not in_python

    def takes(self, graph: Graph) -> bool:
        """Returns whether a graph is so small that neither blocks nor threads would be of use."""
        edges, rows = graph.num_edges, max(graph.num_nodes, graph.num_graphs)
        small = edges + workers.ROW_COST * rows < 2 * workers.LEAST_WORK and edges < MOST_EDGES
        return self._possible and small and rows * self._row_bytes <= layout.BLOCK_BYTES

    def run(self, x: Features, graph: Graph) -> np.ndarray | None:
        """Returns the logits; None if a kernel refuses its input, so that stages run and say why.

        Shapes:
            x [N, in_features] float32 -> [N or G, out_features] float32.
        """
        plan, calls, first, sizes = self._prepared
        nodes, edges = graph.num_nodes, graph.num_edges
        out = np.empty((graph.rows(self._domain), self._width), np.float32)
        arrays = [array.of(graph) for array in plan.arrays]
        looped = graph.adjacency(self_loops=True).num_edges if plan.loops else 0
        outer = [densified(x), out, *arrays]
        run = native.run(holding_gil=workers.is_short(nodes, edges))
        key = max(nodes, graph.num_graphs, LEAST).bit_length(), max(edges + nodes, LEAST).bit_length()
        free = self._arenas.setdefault(key, [])
        try:
            arena = free.pop()  # no other thread has it now
        except IndexError:
            arena = Arena(plan, 1 << key[0], 1 << key[1])
        first.pack_into(arena.addresses, 0, *(addressof(nothing_in(array)) for array in outer))
        sizes.pack_into(arena.sizes, 8, nodes, graph.num_graphs, edges, looped, *map(len, arrays))
        code = run(*calls, *arena.tables)
        free.append(arena)
        if code:
            return None
        return out if plan.finish is None else plan.finish(out)

    def release(self) -> None:
        """Gives back the memory that no call is using."""
        self._arenas.clear()

    @kept
    def _prepared(self) -> Prepared:
        """What every call needs, worked out in the first one."""
        return Prepared.of(plan_of(self._members))


nothing_in = (c_char * 0).from_buffer
"""Returns no bytes of an array that can be written, at its address: four times as fast as `address_of`."""


def address_of(array: np.ndarray) -> int:
    """Returns where the elements of an array begin."""
    address: int = array.__array_interface__["data"][0]
    return address
