"""Says in one line what ended a command through no mistake of its user. Imports nothing heavy."""

from __future__ import annotations

import re

LOST = re.compile(r"\bgloo\b|\bNCCL\b", re.IGNORECASE)
"""What torch says of other processes that are gone or silent, beside its own exceptions (`DistError`)."""

FULL = re.compile(r"out of memory|not enough memory|can't allocate memory|unable to allocate", re.IGNORECASE)
"""What torch (on CPUs and GPUs) and NumPy say of memory that is full."""

THREADS = re.compile(r"can't start new thread|Thread creation failed|Resource temporarily unavailable", re.IGNORECASE)
"""What Python, torch and OpenMP say of threads that the system does not start."""

REMARKS = re.compile(r"^\[\S*?:\d+\] |\. (This is|Check the|Original|Exception raised|Last error).*$")
"""What torch says before and behind the reason."""

TAKEN = re.compile(r"failed to listen.*? port: (\d+).*EADDRINUSE")
"""What torch says of a port on which another program listens."""

LOCATION = re.compile(r"^\[enforce fail at .*?\] .*?DefaultCPUAllocator: ")
"""What torch says before it."""


def failure_of_machine(problem: BaseException) -> str | None:
    """Returns a sentence for full memory, want of threads, a taken port, a process that is gone or silent; or None."""
    text = LOCATION.sub("", " ".join(str(problem).split()))
    if isinstance(problem, MemoryError) or (isinstance(problem, RuntimeError) and FULL.search(text)):
        first = ". ".join(text.split(". ")[:2]).rstrip(".")
        return f"out of memory{f' ({first})' if first else ''}: smaller batches (data.batch_size) or layers need less"
    if isinstance(problem, RuntimeError) and (taken := TAKEN.search(text)):
        return f"port {taken[1]}, where the processes of a run meet, is taken: give a free one in MASTER_PORT"
    if isinstance(problem, RuntimeError) and (is_of_processes(problem) or LOST.search(text)):
        return (
            f"a process that trains with this one ended or is silent ({REMARKS.sub('', text)}): "
            "see what it said; the same command continues from the last finished epoch"
        )
    if isinstance(problem, RuntimeError) and THREADS.search(text):
        return "the system starts no more threads: use fewer (--threads, OMP_NUM_THREADS), or raise ulimit -u"
    return None


def is_of_processes(problem: BaseException) -> bool:
    """Whether torch raised a problem because of other processes."""
    return any(kind.__name__ == "DistError" for kind in type(problem).__mro__)
