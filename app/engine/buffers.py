"""Reuses the memory of results: a fresh large array costs a page fault every 4 KB, more time than most ops take."""

from __future__ import annotations

from itertools import accumulate
from math import prod
from threading import RLock
from typing import Any
from weakref import finalize

import numpy as np

LEAST_BYTES = 1 << 20
"""Smaller arrays are allocated by NumPy."""

KEPT = 16
"""Largest number of free buffers that are kept."""

KEPT_BYTES = 1 << 30
"""Largest size of all free buffers together. What a call needs beyond that is fresh memory each time."""

CACHE_LINE = 64
"""Bytes; loading a vector that crosses the border between two cache lines takes two loads."""


def aligned(array: np.ndarray) -> np.ndarray:
    """Returns a copy in C order that begins at a cache line."""
    copy: np.ndarray = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def aligned_bytes(number: int) -> np.ndarray:
    """Returns uninitialized bytes that begin at a cache line."""
    memory = np.empty(number + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + number]


class Buffers:
    """Arrays whose memory is reused as soon as nothing refers to them; any thread may allocate."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        self._lock = RLock()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Returns an array with unknown content."""
        number = prod(shape) * np.dtype(dtype).itemsize
        if number < LEAST_BYTES:
            return np.empty(shape, dtype)
        memory = self._take(number)
        whole = np.frombuffer(memory.data, np.uint8)  # all views of it keep this array, not `memory`, alive
        finalize(whole, self._give, memory).atexit = False
        array: np.ndarray = whole[:number].view(dtype).reshape(shape)
        return array

    def _take(self, number: int) -> np.ndarray:
        """Returns a free buffer of `number` to 2 * `number` bytes, or a new one."""
        with self._lock:
            for i, memory in enumerate(self._free):
                if number <= memory.size <= 2 * number:
                    return self._free.pop(i)
        return aligned_bytes(number)

    def release(self) -> None:
        """Forgets all free buffers."""
        with self._lock:
            self._free = []

    def _give(self, memory: np.ndarray) -> None:
        """Keeps a free buffer, and of those before it, the latest ones that stay within both limits."""
        with self._lock:
            kept = accumulate((buffer.size for buffer in (memory, *self._free)), initial=0)
            number = sum(size <= KEPT_BYTES for size in kept) - 1
            self._free = [memory, *self._free][: min(number, KEPT)]


class Scratch:
    """The memory of one block: numbered pieces, each as large as the largest array that was allocated in it."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, int, Any], np.ndarray] = {}
        self._pieces: dict[int, np.ndarray] = {}

    def empty(self, number: int, rows: int, width: int, dtype: Any) -> np.ndarray:
        """Returns an array [rows, width] with unknown content, in piece `number`."""
        view = self._views.get((number, width, dtype))
        if view is None or len(view) < rows:
            view = self._views[number, width, dtype] = self._view(number, rows, width, dtype)
        return view[:rows]

    def _view(self, number: int, rows: int, width: int, dtype: Any) -> np.ndarray:
        size, piece = rows * width * np.dtype(dtype).itemsize, self._pieces.get(number)
        if piece is None or piece.size < size:
            piece = self._pieces[number] = aligned_bytes(size)
            self._views = {key: view for key, view in self._views.items() if key[0] != number}
        array: np.ndarray = piece[:size].view(dtype).reshape(rows, width)
        return array
