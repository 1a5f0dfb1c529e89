"""Says in one line what ended a command through no mistake of its user. Imports nothing heavy."""

from __future__ import annotations

import re

FULL = re.compile(r"out of memory|not enough memory|can't allocate memory|unable to allocate", re.IGNORECASE)
"""What torch (on CPUs and GPUs) and NumPy say of memory that is full."""

LOCATION = re.compile(r"^\[enforce fail at .*?\] .*?DefaultCPUAllocator: ")
"""What torch says before it."""


def failure_of_machine(problem: BaseException) -> str | None:
    """Returns a sentence for memory that is full; None for other problems."""
    text = LOCATION.sub("", " ".join(str(problem).split()))
    if isinstance(problem, MemoryError) or (isinstance(problem, RuntimeError) and FULL.search(text)):
        first = ". ".join(text.split(". ")[:2]).rstrip(".")
        return f"out of memory{f' ({first})' if first else ''}: smaller batches (data.batch_size) or layers need less"
    return None
