"""Interleaved timing: every round calls each candidate once, so changes of the machine's speed affect all alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

import torch

Name = TypeVar("Name", bound=Hashable)

REST = 0.002
"""Seconds of a look at whether threads still run."""

PATIENCE = 1.0
"""Seconds after which a call begins although they do."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds: median, quartiles, and the fastest call, which other work on the machine disturbs least."""

    median: float
    lower: float
    upper: float
    fastest: float


def interleaved(candidates: Mapping[Name, Callable[[], object]], repeats: int, warmup: int = 3) -> dict[Name, Timing]:
    """Times each candidate `repeats` times (at least twice), in turns, after `warmup` rounds that are not timed.

    Threads of a library that spin after its work (OpenBLAS's for 0.1 s) would slow down the next candidate, so it waits
    for them.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in candidates}
    for round_number in range(-warmup, max(repeats, 2)):
        for name, call in candidates.items():
            start, used = time.perf_counter(), time.process_time()
            call()
            elapsed = time.perf_counter() - start
            if time.process_time() - used > 1.1 * elapsed:  # several threads worked
                wait_for_threads()
            if round_number >= 0:
                seconds[name].append(elapsed)
    return {name: _summary(values) for name, values in seconds.items()}


def wait_for_threads() -> None:
    """Waits until no thread of this process runs but this one, which sleeps."""
    until = time.perf_counter() + PATIENCE
    while (start := time.perf_counter()) < until:
        used = time.process_time()
        time.sleep(REST)
        if time.process_time() - used < 0.1 * (time.perf_counter() - start):
            return


def completed(call: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """Returns a call that also waits until its device has done what it was asked for: a GPU answers before."""
    if device.type == "cpu":
        return call

    def wait() -> None:
        call()
        torch.cuda.synchronize(device)

    return wait


def _summary(seconds: list[float]) -> Timing:
    lower, median, upper = (1000.0 * q for q in quantiles(seconds, n=4, method="inclusive"))
    return Timing(median, lower, upper, 1000.0 * min(seconds))


def processor() -> str:
    """Returns the name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
