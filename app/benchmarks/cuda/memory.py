"""Memory of a device."""

from __future__ import annotations

from collections.abc import Callable

import torch

from app.benchmarks import memory


def available(place: torch.device) -> float:
    """Bytes that programs could still take."""
    return memory.available() if place.type == "cpu" else float(torch.cuda.mem_get_info(place)[0])


def peak_of(call: Callable[[], object], place: torch.device) -> int | None:
    """Makes the call and returns the bytes of tensors that it took at its peak; None on the CPU: it makes no call."""
    if place.type == "cpu":
        return None
    before = torch.cuda.memory_allocated(place)
    torch.cuda.reset_peak_memory_stats(place)
    call()
    return torch.cuda.max_memory_allocated(place) - before
