"""Agreement between the processes (ranks) that train one model together."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gather_from_ranks(x: Tensor) -> Tensor:
    """Returns `x` of all ranks, stacked [R, ...], by one collective; without a process group [1, ...]."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x[None]
    everyone = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, x)
    return torch.stack(everyone)


def merge_ranges(ranges: Tensor, *, average: bool = False) -> Tensor:
    """Returns the union (or the mean) [2] of the ranges [R, 2] that have seen data; NaN if none has."""
    seen = ranges[~ranges[:, 0].isnan()]
    if not len(seen):
        return ranges[0]
    return seen.mean(0) if average else torch.stack([seen[:, 0].amin(), seen[:, 1].amax()])
