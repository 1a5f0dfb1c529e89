"""Measures the memory of this process, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

from app.cli.process import meanwhile
from app.errors import UserError

OWN = "/proc/self/status", "RssAnon"
"""Where Linux says what a process has in memory beside pages of files."""


def resident() -> int:
    """Bytes of the resident set after free memory went back to the system.

    Otherwise a later call could use it again, and its growth would not be seen.
    """
    _give_back()
    return _field("/proc/self/status", "VmRSS")


def own() -> int:
    """The same without the pages of files.

    Raises:
        UserError: on a system that does not tell.
    """
    _give_back()
    try:
        return _field(*OWN)
    except (OSError, StopIteration):
        raise UserError("memory is measured by /proc/self/status, which this system has not: use Linux") from None


def _give_back() -> None:
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def peak_of(call: Callable[[], object]) -> int:
    """Makes the call and returns the bytes of the resident set at its peak.

    Raises:
        UserError: on a system without /proc/self/clear_refs.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        raise UserError("memory is measured by /proc/self/clear_refs, which this system has not: use Linux") from None
    call()
    return _field("/proc/self/status", "VmHWM")


def peak_of_own(call: Callable[[], object]) -> int:
    """Makes the call and returns the bytes of `own` at their peak, looked at every few milliseconds."""
    largest = _field(*OWN)

    def look() -> None:
        nonlocal largest
        largest = max(largest, _field(*OWN))

    with meanwhile(look, every=0.003):
        call()
    return largest


def available() -> float:
    """Bytes of memory that programs could still take; infinity where the system does not tell."""
    try:
        return _field("/proc/meminfo", "MemAvailable")
    except OSError:
        return float("inf")


def _field(file: str, name: str) -> int:
    lines = Path(file).read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))
