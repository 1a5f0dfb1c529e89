"""Range observers: they watch tensors and keep [lo, hi]; they never change what they see.

Two choices that combine freely: the statistic of the current tensor (`minmax`, `percentile`) and its
accumulation over steps (`running`, `momentum`). Only unprotected rows are looked at.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.quantization import kernels
from models.quantization.gradients import as_rows, has_kernels, numbers
from models.quantization.qconfig import ObserverConfig


class Observer(nn.Module):
    """Tracks the range of one site. All state is in constant-shape buffers: checkpoints load into fresh observers.

    Attributes:
        range: [lo, hi], float32; NaN until the first tensor.
        collapsed: how often a percentile fell on zero at both ends, so that it was taken over the non-zero
            entries instead (a sparse tensor; a scale made from [0, 0] would round everything to zero).
    """

    range: Tensor
    collapsed: Tensor

    def __init__(self, config: ObserverConfig) -> None:
        super().__init__()
        self.config = config
        self.fraction = (config.percentile or 0.0) / 100.0 if config.statistic == "percentile" else 0.0
        self.sample = config.sample
        self.register_buffer("range", torch.full((2,), torch.nan))
        self.register_buffer("collapsed", torch.tensor(0))

    @property
    def ends(self) -> tuple[float, float] | None:
        """(lo, hi), or None if no data was seen."""
        lo, hi = self.range.tolist()
        return None if lo != lo else (lo, hi)

    def forward(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Takes the unprotected rows of `x` [N, ...] into account; none left: nothing happens."""
        ends = self.ends
        entries, above, below = _count_outside(x, protect, ends or (0.0, 0.0))
        if entries == 0:
            return
        outside = int(self.fraction * entries)
        nonzeros = _nonzeros_if_rare(x, protect, outside) if outside else 0
        if nonzeros:
            self.collapsed.add_(1)
            outside = int(self.fraction * nonzeros)
        # A running range can only move if more entries than may be clipped lie outside it. Counting them is
        # one cheap exact pass; the order statistic itself is needed in the few steps that move the range.
        running = self.config.accumulation == "running"
        if running and ends is not None and above <= outside and below <= outside:
            return
        seen = x.detach() if protect is None else x.detach()[~protect]
        new = self._statistic(seen, nonzeros > 0)
        if not new.any() and seen.any():  # the tensor does not collapse, but the sample drawn from it does
            self.collapsed.add_(1)
            new = self._statistic(seen, True)
        if ends is not None and running:
            lo, hi = ends
            new = torch.stack([new[0].clamp(max=lo), new[1].clamp(min=hi)])
        elif ends is not None:
            new = self.range.lerp(new, self.config.momentum)
        self.range.copy_(new)

    def _statistic(self, x: Tensor, nonzero: bool) -> Tensor:
        """[lo, hi]: two quantiles of the (non-zero) entries: order statistics, not interpolated."""
        entries = x[x != 0] if nonzero else x.flatten()
        if entries.numel() > self.sample and self.fraction > 0.0:
            entries = entries[torch.randint(entries.numel(), (self.sample,), device=entries.device)]
        outside = int(self.fraction * entries.numel())
        if outside == 0:
            return torch.stack(torch.aminmax(entries))
        lo = entries.topk(outside + 1, largest=False, sorted=False).values.amax()
        hi = entries.topk(outside + 1, sorted=False).values.amin()
        return torch.stack([lo, hi])


def _count_outside(x: Tensor, protect: Tensor | None, ends: tuple[float, float]) -> tuple[int, int, int]:
    """Entries of unprotected rows: all, > hi, < lo."""
    lo, hi = ends
    if has_kernels(x):
        return kernels.count_outside(as_rows(x), numbers(protect), np.float32(lo), np.float32(hi))
    kept = x if protect is None else x[~protect]
    above, below = torch.stack([(kept > hi).sum(), (kept < lo).sum()]).tolist()
    return kept.numel(), above, below


def _nonzeros_if_rare(x: Tensor, protect: Tensor | None, limit: int) -> int:
    """Non-zero entries of unprotected rows if neither sign has more than `limit`, else 0."""
    if has_kernels(x):
        return kernels.nonzeros_if_rare(as_rows(x), numbers(protect), limit)
    kept = x if protect is None else x[~protect]
    positive, negative = torch.stack([(kept > 0).sum(), (kept < 0).sum()]).tolist()
    return positive + negative if max(positive, negative) <= limit else 0
