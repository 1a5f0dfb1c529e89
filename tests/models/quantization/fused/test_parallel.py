"""Kernels on row ranges in parallel."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch

from models.quantization.fused.parallel import ENTRIES_PER_THREAD, run_on_row_ranges


@pytest.fixture(params=[1, 2, 4])
def threads(request, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: request.param)
    return request.param


@pytest.mark.parametrize("rows", [0, 1, 3, 1000])
def test_ranges_cover_all_rows_in_order(threads, rows):
    ranges = run_on_row_ranges(lambda first, last: list(range(first, last)), rows, 10 * ENTRIES_PER_THREAD)
    assert [row for rows_of_one in ranges for row in rows_of_one] == list(range(rows))
    assert len(ranges) == max(1, min(threads, rows))


def test_little_work_stays_on_the_calling_thread(threads):
    names = run_on_row_ranges(lambda first, last: threading.current_thread(), 1000, 2 * ENTRIES_PER_THREAD - 1)
    assert names == [threading.current_thread()]


def test_an_error_in_any_part_is_raised(threads):
    def fails_on_the_last_row(first, last):
        if last == 1000:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_on_row_ranges(fails_on_the_last_row, 1000, 10 * ENTRIES_PER_THREAD)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def use():
        run_on_row_ranges(lambda first, last: None, 1000, 10 * ENTRIES_PER_THREAD)

    use()
    process = multiprocessing.get_context("fork").Process(target=use)
    process.start()
    process.join(20)
    process.kill()
    assert process.exitcode == 0
