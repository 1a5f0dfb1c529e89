"""Agreement between the processes (ranks) that train one model together."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
import torch.distributed as dist
from torch import Tensor, nn


def has_other_ranks() -> bool:
    """Whether other processes train the same model."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_from_ranks(x: Tensor) -> Tensor:
    """Returns `x` of all ranks, stacked [R, ...], by one collective; without a process group [1, ...]."""
    if not has_other_ranks():
        return x[None]
    everyone = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, x)
    return torch.stack(everyone)


def share_buffers(module: nn.Module) -> None:
    """Gives all ranks the buffers of rank 0; does nothing without a process group."""
    if has_other_ranks():
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)


def merge_ranges(ranges: Tensor, *, average: bool = False) -> Tensor:
    """Returns the union (or the mean) [..., 2] of the ranges [R, ..., 2] that have seen data; NaN where none has."""
    if average:
        return ranges.nanmean(0)
    return torch.stack([_fold(torch.fmin, ranges[..., 0]), _fold(torch.fmax, ranges[..., 1])], -1)


def _fold(choose: Callable[[Tensor, Tensor], Tensor], ends: Tensor) -> Tensor:
    return reduce(choose, ends.unbind(0))
