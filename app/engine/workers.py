"""Divides the rows of a computation among threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from weakref import WeakSet

import numpy as np

from .buffers import Buffers, Scratch

PARTS_PER_THREAD = 4
"""Number of parts of about equal work for each thread; several, because threads are not equally fast."""

ROW_COST = 8
"""Work of a row itself, in edges."""

LEAST_WORK = 20_000
"""Least work of a part, in edges: handing over less costs more than it saves."""

SHORT = 2_000
"""Work, in edges, of programs that keep the GIL: giving it up costs them more than other threads gain."""

PREPARED = 20
"""How many times as much work a kernel that prepares a graph does in the time that a program takes."""

MOST_PREPARED = PREPARED * SHORT // ROW_COST
"""Most nodes of a graph that is prepared without giving up the GIL. NumPy does so where it fills or copies arrays of
more than some hundred numbers, and where it allocates more than 1 KB of zeros."""

Part = Callable[[int, int], object]
"""part(first, last) computes rows first..last-1."""


class Workers:
    """A number of threads, the caller's among them, and memory for results; several callers may share them.

    A process that is forked starts threads of its own.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.begin()
        _ALL.add(self)

    def begin(self) -> None:
        """Begins with new threads and new memory."""
        self.buffers = Buffers()
        self._scratch: list[Scratch] = []
        self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="engine") if self.threads > 1 else None

    def release(self) -> None:
        """Gives back the memory that no call is using."""
        self.buffers.release()
        self._scratch.clear()

    def run(self, part: Part, rows: int, work: np.ndarray | None = None, most: int | None = None) -> None:
        """Calls `part` for ranges that together cover all rows.

        Args:
            part: computes a range of rows; it must release the GIL and write only its own rows.
            rows: the number of rows.
            work: the work of all rows before each [rows + 1] int64, see `row_work`; None: all rows are alike.
            most: about the largest number of rows of a range; None: any.
        """
        parts = list(pairwise(self._cuts(rows, work, most)))
        ranges = iter(parts)

        def drain() -> None:
            for first, last in ranges:  # the iterator hands each range to one thread
                part(first, last)

        others: list[Future[None]] = []
        refused = None
        try:
            if self._pool is not None:
                others.extend(self._pool.submit(drain) for _ in range(min(self.threads, len(parts)) - 1))
        except RuntimeError as error:
            if "start new thread" not in str(error):  # Python has no class of its own for it
                raise
            refused = error
        drain()
        for other in others:
            other.result()
        if refused is not None:
            raise ValueError(f"threads: the system does not start {self.threads}; give fewer") from refused

    def leaves_whole(self, rows: int, edges: int) -> bool:
        """Returns whether `run` would not divide rows with so many edges among threads."""
        return self.threads == 1 or edges + ROW_COST * rows < 2 * LEAST_WORK

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        """Lends scratch memory that no other thread uses in the meantime."""
        try:
            scratch = self._scratch.pop()
        except IndexError:
            scratch = Scratch()
        try:
            yield scratch
        finally:
            self._scratch.append(scratch)

    def _cuts(self, rows: int, work: np.ndarray | None, most: int | None) -> list[int]:
        """Returns row numbers from 0 to `rows` with about the same work between them."""
        total = rows * ROW_COST if work is None else int(work[rows])
        parts = 1 if self.threads == 1 else min(self.threads * PARTS_PER_THREAD, total // LEAST_WORK)
        parts = min(max(parts, 1 if most is None else -(-rows // most)), rows)
        shares = total * np.arange(1, parts) // max(parts, 1)
        inner = shares // ROW_COST if work is None else np.searchsorted(work, shares)
        return [0, *sorted(set(inner.tolist()) - {0, rows}), rows]


_ALL: WeakSet[Workers] = WeakSet()


def _begin_all() -> None:
    """In a process that was forked: threads are not inherited, and a lock may be held by one of them."""
    for workers in list(_ALL):
        workers.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)


def is_short(rows: int, edges: int) -> bool:
    """Returns whether a program keeps the GIL on so many rows and edges."""
    return edges + ROW_COST * rows < SHORT


def is_soon_prepared(rows: int, edges: int) -> bool:
    """Returns whether what prepares a graph keeps the GIL: a program gives it up once, not once for each of these."""
    return edges + ROW_COST * rows < PREPARED * SHORT


def row_work(indptr: np.ndarray) -> np.ndarray:
    """Returns the work of all rows before each [N + 1]: their edges, and ROW_COST for every row."""
    return indptr + ROW_COST * np.arange(indptr.size)
