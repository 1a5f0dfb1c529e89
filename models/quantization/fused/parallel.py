"""Runs a kernel on row ranges in parallel, on as many threads as torch uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

T = TypeVar("T")

ENTRIES_PER_THREAD = 200_000
"""With fewer entries, handing work to another thread (about 50 us) costs more than it saves."""


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Returns the threads of a process; one that is forked does not inherit them."""
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def run_on_row_ranges(kernel: Callable[[int, int], T], rows: int, entries: int) -> list[T]:
    """Calls kernel(first, last) on row ranges that together cover `rows` rows, and returns the results in order.

    `entries` is the amount of work in all rows; it decides on the number of threads. `kernel` must release the GIL
    and treat rows independently.
    """
    threads = torch.get_num_threads()
    number = min(threads, entries // ENTRIES_PER_THREAD, rows)
    if number <= 1:
        return [kernel(0, rows)]
    cuts = [rows * k // number for k in range(number + 1)]
    pool = _pool(threads - 1, os.getpid())
    others = [pool.submit(kernel, *cuts[k : k + 2]) for k in range(1, number)]
    return [kernel(0, cuts[1]), *(other.result() for other in others)]
