"""Rows are divided among threads."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine import workers
from app.engine.workers import Workers


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("rows", [0, 1, 3, 1000])
def test_workers_cover_every_row_once(monkeypatch, threads, rows):
    monkeypatch.setattr(workers, "LEAST_WORK", 10)
    degrees = np.arange(rows) % 7
    degrees[rows // 2 : rows // 2 + 1] = 100_000
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    for edges in (None, indptr):
        seen = np.zeros(rows, int)

        def count(first, last, seen=seen):
            seen[first:last] += 1

        Workers(threads).run(count, rows, edges)
        np.testing.assert_array_equal(seen, 1)


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_WORK", 10)

    def fail(first, last):
        raise RuntimeError(f"{first}")

    with pytest.raises(RuntimeError):
        Workers(2).run(fail, 100)
