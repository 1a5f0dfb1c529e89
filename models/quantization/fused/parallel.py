"""Runs a kernel on row ranges side by side, on as many threads as torch uses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

T = TypeVar("T")

ENTRIES_PER_THREAD = 200_000
"""Below this a hand-over to another thread (about 50 us) costs more than it saves."""


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def in_parts(part: Callable[[int, int], T], rows: int, entries: int) -> list[T]:
    """part(first, last) on ranges that together cover `rows` rows, which hold `entries` entries of work.

    `part` must release the GIL and treat rows independently.
    """
    threads = torch.get_num_threads()
    number = min(threads, entries // ENTRIES_PER_THREAD, rows)
    if number <= 1:
        return [part(0, rows)]
    cuts = [rows * k // number for k in range(number + 1)]
    others = [_pool(threads - 1).submit(part, *cuts[k : k + 2]) for k in range(1, number)]
    return [part(0, cuts[1]), *(other.result() for other in others)]
