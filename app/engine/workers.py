"""Threads that share the rows of a kernel, and the memory they write to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from .buffers import Buffers, Scratch

PARTS_PER_THREAD = 4
"""Parts of about equal work; more than one a thread, for threads are not equally fast."""

ROW_COST = 8
"""Work of a row without edges, in edges."""

LEAST_WORK = 20_000
"""Edges and rows (times ROW_COST) of a part: below this the hand-over costs more than it saves."""

Part = Callable[[int, int], object]


class Workers:
    """`threads` threads, the caller's among them; several callers may share them. `buffers`: for results."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.buffers = Buffers()
        self._scratch: list[Scratch] = []
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="engine") if threads > 1 else None

    def run(self, part: Part, rows: int, work: np.ndarray | None = None, most: int | None = None) -> None:
        """part(first, last) on ranges that cover `rows` rows, of about `most` rows at most.

        `work` [rows + 1] int64: that of all rows before each (`row_work`); None: all rows are alike.
        `part` must release the GIL and write only its rows.
        """
        parts = list(pairwise(self._cuts(rows, work, most)))
        ranges = iter(parts)

        def drain() -> None:
            for first, last in ranges:  # an iterator of a list hands each range to one thread
                part(first, last)

        others = [self._pool.submit(drain) for _ in range(min(self.threads, len(parts)) - 1)] if self._pool else []
        drain()
        for other in others:
            other.result()

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        """Scratch memory that no other thread has until it is given back."""
        try:
            scratch = self._scratch.pop()
        except IndexError:
            scratch = Scratch()
        try:
            yield scratch
        finally:
            self._scratch.append(scratch)

    def _cuts(self, rows: int, work: np.ndarray | None, most: int | None) -> list[int]:
        """Row numbers from 0 to `rows` with about the same work between them."""
        total = rows * ROW_COST if work is None else int(work[rows])
        parts = 1 if self.threads == 1 else min(self.threads * PARTS_PER_THREAD, total // LEAST_WORK)
        parts = min(max(parts, 1 if most is None else -(-rows // most)), rows)
        shares = total * np.arange(1, parts) // max(parts, 1)
        inner = shares // ROW_COST if work is None else np.searchsorted(work, shares)
        return [0, *sorted(set(inner.tolist()) - {0, rows}), rows]


def row_work(indptr: np.ndarray) -> np.ndarray:
    """The work of all rows before each [N + 1]: their edges, and ROW_COST for each row."""
    return indptr + ROW_COST * np.arange(indptr.size)
