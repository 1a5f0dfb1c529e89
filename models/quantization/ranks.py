"""What several processes that train one model have to agree on."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def of_every_rank(x: Tensor) -> Tensor:
    """`x` of all ranks, stacked: [R, ...], by one collective; of this process alone without a process group."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x[None]
    everyone = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, x)
    return torch.stack(everyone)


def one_range(ranges: Tensor, averaged: bool = False) -> Tensor:
    """The union, or the mean, [2] of the ranges of [R, 2] that have seen data; NaN if none has."""
    seen = ranges[~ranges[:, 0].isnan()]
    if not len(seen):
        return ranges[0]
    return seen.mean(0) if averaged else torch.stack([seen[:, 0].amin(), seen[:, 1].amax()])
