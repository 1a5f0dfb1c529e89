"""Rows are divided among threads."""

from __future__ import annotations

import multiprocessing
import threading

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


def test_threads_that_the_system_does_not_start_are_one_sentence(monkeypatch):
    """All rows are done all the same, so nothing still writes when it is raised."""
    monkeypatch.setattr(workers, "LEAST_WORK", 10)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = np.zeros(1000, int)

    def count(first, last):
        seen[first:last] += 1

    with pytest.raises(ValueError, match=r"^threads: the system does not start 4; give fewer$"):
        Workers(4).run(count, 1000)
    np.testing.assert_array_equal(seen, 1)


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_WORK", 10)

    def fail(first, last):
        raise RuntimeError(f"{first}")

    with pytest.raises(RuntimeError):
        Workers(2).run(fail, 100)


def in_a_forked_process(work):
    """Whether `work` ends in a process that is forked from this one."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(20)
    process.kill()
    return process.exitcode == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_WORK", 10)
    used = Workers(2)
    used.run(lambda first, last: None, 100)
    assert in_a_forked_process(lambda: used.run(lambda first, last: None, 100))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_a_lock_of_its_parent():
    """Held by a thread that does not exist in it."""
    used, held, done = Workers(), threading.Event(), threading.Event()

    def hold():
        with used.buffers._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert in_a_forked_process(lambda: used.buffers.empty((1 << 20,), np.uint8))
    finally:
        done.set()
        thread.join()
