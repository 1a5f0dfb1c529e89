"""How much memory a call takes, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

from app.errors import UserError


def settled() -> int:
    """Bytes of the resident set after what is free was given back: else it would be used again unseen."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return _field("/proc/self/status", "VmRSS")


def peak_of(call: Callable[[], object]) -> int:
    """Bytes of the resident set at its peak during `call`.

    Raises:
        UserError: where Linux does not tell.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        raise UserError("memory is measured by /proc/self/clear_refs, which this system has not: use Linux") from None
    call()
    return _field("/proc/self/status", "VmHWM")


def available() -> float:
    """Bytes that programs could still take; without bound where Linux does not tell."""
    try:
        return _field("/proc/meminfo", "MemAvailable")
    except OSError:
        return float("inf")


def _field(file: str, name: str) -> int:
    lines = Path(file).read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))
