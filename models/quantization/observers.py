"""Range observers: they watch tensors and keep [lo, hi]; they never change what they see.

Two choices that combine freely: the statistic of the current tensor (`MinMax`, `Percentile`) and its
accumulation over steps (`running`, `momentum`). Only unprotected rows are looked at.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.quantization import kernels
from models.quantization.gradients import NO_ROWS, rows_of
from models.quantization.qconfig import ObserverConfig


class Observer(nn.Module):
    """Tracks the range of one site. All state is in scalar buffers: checkpoints load into fresh observers.

    Attributes:
        lo, hi: the tracked range (float32 scalars).
        steps: number of tensors seen; 0: never.
        collapsed: how often a percentile fell on zero at both ends, so that it was taken over the non-zero
            entries instead (a sparse tensor; a scale made from [0, 0] would round everything to zero).
    """

    lo: Tensor
    hi: Tensor
    steps: Tensor
    collapsed: Tensor

    def __init__(self, config: ObserverConfig) -> None:
        super().__init__()
        self.config = config
        self.fraction = (config.percentile or 0.0) / 100.0 if config.statistic == "percentile" else 0.0
        self.sample = config.sample
        self.register_buffer("lo", torch.tensor(0.0))
        self.register_buffer("hi", torch.tensor(0.0))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("collapsed", torch.tensor(0))

    @torch.no_grad()
    def forward(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Takes the unprotected rows of `x` [N, ...] into account; none left: nothing happens."""
        rows = rows_of(x)
        running = self.config.accumulation == "running"
        entries, above, below, positive, negative = self._count(rows, protect)
        if entries == 0:
            return
        outside = int(self.fraction * entries)
        collapses = max(positive, negative) <= outside and positive + negative > 0
        if collapses and outside > 0:
            self.collapsed += 1
            outside = int(self.fraction * (positive + negative))
        # A running range can only move if more entries than may be clipped lie outside it. Counting them is
        # one cheap exact pass; the order statistic itself is needed in the few steps that move the range.
        if running and self.steps > 0 and above <= outside and below <= outside:
            self.steps += 1
            return
        lo, hi = self._statistic(rows, protect, collapses)
        if self.steps == 0:
            self.lo.copy_(lo)
            self.hi.copy_(hi)
        elif running:
            torch.minimum(self.lo, lo, out=self.lo)
            torch.maximum(self.hi, hi, out=self.hi)
        else:
            self.lo.lerp_(lo, self.config.momentum)
            self.hi.lerp_(hi, self.config.momentum)
        self.steps += 1

    def _count(self, rows: Tensor, protect: Tensor | None) -> tuple[int, int, int, int, int]:
        """Entries of unprotected rows: all, > hi, < lo, > 0, < 0."""
        if rows.device.type == "cpu" and rows.dtype == torch.float32:
            mask = NO_ROWS if protect is None else protect.numpy()
            flat = rows.view(1, -1) if protect is None else rows
            lo, hi = np.float32(self.lo.item()), np.float32(self.hi.item())
            return kernels.count_outside(flat.numpy(), mask, lo, hi)
        kept = rows if protect is None else rows[~protect]
        counts = torch.stack([(kept > self.hi).sum(), (kept < self.lo).sum(), (kept > 0).sum(), (kept < 0).sum()])
        above, below, positive, negative = counts.tolist()
        return kept.numel(), above, below, positive, negative

    def _statistic(self, rows: Tensor, protect: Tensor | None, nonzero: bool) -> tuple[Tensor, Tensor]:
        """The two quantiles of the unprotected (non-zero) entries: order statistics, not interpolated."""
        entries = (rows if protect is None else rows[~protect]).flatten()
        if nonzero:
            entries = entries[entries != 0]
        if self.fraction == 0.0:
            return torch.aminmax(entries)
        if entries.numel() > self.sample:
            entries = entries[torch.randint(entries.numel(), (self.sample,), device=entries.device)]
        outside = int(self.fraction * entries.numel())
        if outside == 0:
            return torch.aminmax(entries)
        lo = entries.topk(outside + 1, largest=False, sorted=False).values.amax()
        hi = entries.topk(outside + 1, sorted=False).values.amin()
        return lo, hi
