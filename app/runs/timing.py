"""Interleaved timing: every round calls each candidate once, so changes of the machine's speed affect all alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import TypeVar

import torch

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """Milliseconds: median, quartiles, and the fastest call, which other work on the machine disturbs least."""

    median: float
    lower: float
    upper: float
    fastest: float


def interleaved(candidates: Mapping[Name, Callable[[], object]], repeats: int, warmup: int = 3) -> dict[Name, Timing]:
    """Times each candidate `repeats` times (at least twice), in turns, after `warmup` rounds that are not timed.

    Every round has an order of its own, since a call finds the caches and the spinning threads that the one before has
    left.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in candidates}
    order, shuffle = list(candidates), Random(0).shuffle
    for round_number in range(-warmup, max(repeats, 2)):
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            candidates[name]()
            elapsed = time.perf_counter() - start
            if round_number >= 0:
                seconds[name].append(elapsed)
    return {name: _summary(values) for name, values in seconds.items()}


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
