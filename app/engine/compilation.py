"""How long kernels took to compile: what the first calls cost that find nothing in the cache on disk."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from numba.core import event


class CompileClock(event.Listener):
    """Adds up the time in which numba compiles, which it does in one thread at a time; a kernel may compile others."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth, self._since = 0, 0.0

    def on_start(self, event: Any) -> None:
        """A kernel is not in the cache."""
        if self._depth == 0:
            self._since = perf_counter()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """It is compiled."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += perf_counter() - self._since


_CLOCK = CompileClock()
event.register("numba:compile", _CLOCK)


def compile_seconds() -> float:
    """Seconds for which this process has compiled kernels so far; 0 where all came from the cache."""
    return _CLOCK.seconds


def compile_note() -> str:
    """The same as a sentence."""
    seconds = compile_seconds()
    if seconds == 0:
        return "kernels: all from the cache on disk"
    return f"kernels: {seconds:.1f} s to compile in first calls, from now on in the cache on disk"
