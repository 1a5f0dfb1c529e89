"""Measures how long kernels took to compile, which the first calls cost until the cache on disk is filled."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from numba.core import event

from .kernel_cache import are_kept


class CompileClock(event.Listener):
    """Adds up the time that numba spends compiling.

    Numba compiles in one thread at a time. Compiling a kernel may compile others, whose time is not counted twice.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth, self._since = 0, 0.0

    def on_start(self, event: Any) -> None:
        """Called when numba begins to compile a kernel that is not in the cache."""
        if self._depth == 0:
            self._since = perf_counter()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """Called when the kernel is compiled."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += perf_counter() - self._since


_CLOCK = CompileClock()
_register: Callable[[str, event.Listener], None] = event.register
_register("numba:compile", _CLOCK)


def compile_seconds() -> float:
    """Returns the seconds that this process has spent compiling kernels; 0 if all came from the cache."""
    return _CLOCK.seconds


def compile_note() -> str:
    """Returns a line for users that says the same."""
    seconds = compile_seconds()
    if seconds == 0:
        return "kernels: all from the cache on disk"
    kept = "from now on in the cache on disk" if are_kept() else "not kept on disk"
    return f"kernels: {seconds:.1f} s to compile in first calls, {kept}"
