"""Threads that share the rows of a kernel, and the memory they write to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from app.engine.buffers import Buffers

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
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="engine") if threads > 1 else None

    def run(self, part: Part, rows: int, indptr: np.ndarray | None = None) -> None:
        """part(first, last) on ranges that cover `rows` rows; with `indptr`, the work of a row is its edges.

        `part` must release the GIL and write only its rows.
        """
        cuts = self._cuts(rows, indptr)
        if self._pool is None or len(cuts) <= 2:
            part(0, rows)
            return
        ranges = iter(list(pairwise(cuts)))

        def drain() -> None:
            for first, last in ranges:  # an iterator of a list hands each range to one thread
                part(first, last)

        others = [self._pool.submit(drain) for _ in range(self.threads - 1)]
        drain()
        for other in others:
            other.result()

    def _cuts(self, rows: int, indptr: np.ndarray | None) -> list[int]:
        """Row numbers from 0 to `rows` with about the same work between them."""
        work = rows * ROW_COST + (0 if indptr is None else int(indptr[rows]))
        number = min(self.threads * PARTS_PER_THREAD, work // LEAST_WORK, rows)
        if self.threads == 1 or number < 2:
            return [0, rows]
        shares = [work * share // number for share in range(1, number)]
        reached = lambda row: row * ROW_COST + (0 if indptr is None else int(indptr[row]))  # noqa: E731
        inner = {bisect_left(range(rows), share, key=reached) for share in shares}
        return sorted(inner | {0, rows})


SERIAL = Workers()
"""The caller's thread alone."""
