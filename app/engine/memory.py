"""How this process keeps memory. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Of glibc's `mallopt`."""

CHOSEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""Environment variables by which a user has decided already."""


@cache
def keep_freed_memory() -> None:
    """Lets glibc reuse freed buffers instead of returning them: fresh pages cost as much as the work on them.

    Holds for the whole process. Other C libraries are left alone, and so is what the environment says (CHOSEN).
    """
    if platform.libc_ver()[0] == "glibc" and not any(name in os.environ for name in CHOSEN):
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(TRIM_THRESHOLD, 1 << 30)
