"""Range observers: they watch tensors and keep [lo, hi]; they never change what they see.

Two choices that combine freely: the statistic of the current tensor (`minmax`, `percentile`) and its
accumulation over steps (`running`, `momentum`). Only unprotected rows are looked at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.quantization.fused import kernels
from models.quantization.fused.rounding import Census, Watch, as_mask, as_rows, has_kernels, take_census, unprotected
from models.quantization.qconfig import ObserverConfig


class Observer(nn.Module):
    """Tracks the range of one site. All state is in constant-shape buffers: checkpoints load into fresh observers.

    Attributes:
        range: [lo, hi], float32; NaN until the first tensor. A running range holds zero from the start, as its
            grid must, so that entries beyond it are never zeros.
        collapsed: how often a percentile fell on zero at both ends, so that it was taken over the non-zero
            entries instead (a sparse tensor; a scale made from [0, 0] would round everything to zero).
    """

    range: Tensor
    collapsed: Tensor

    def __init__(self, config: ObserverConfig) -> None:
        super().__init__()
        self.config = config
        high = (config.percentile or 0.0) / 100.0
        low = high if config.low_percentile is None else config.low_percentile / 100.0
        self.low, self.high = (low, high) if config.statistic == "percentile" else (0.0, 0.0)
        self.sample = config.sample
        self.register_buffer("range", torch.full((2,), torch.nan))
        self.register_buffer("collapsed", torch.tensor(0))

    @property
    def ends(self) -> tuple[float, float] | None:
        """(lo, hi), or None if no data was seen."""
        lo, hi = self.range.tolist()
        return None if lo != lo else (lo, hi)

    @property
    def fraction(self) -> float:
        """The larger of the shares left out at the two ends."""
        return max(self.low, self.high)

    def outside(self, entries: int) -> tuple[int, int]:
        """How many of so many entries are left out below and above."""
        return int(self.low * entries), int(self.high * entries)

    @property
    def follows(self) -> bool:
        """Whether a range, once there is one, moves only when entries lie beyond it: usable before it is updated."""
        return self.config.accumulation == "running"

    def forward(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Takes the unprotected rows of `x` [N, ...] into account; none left: nothing happens."""
        ends = self.ends
        if ends is not None and self.follows:
            self.follow(take_census(x, protect, Watch(*ends, self.fraction)), lambda: x, protect)
            return
        seen = unprotected(x, protect)
        if seen.numel() == 0:
            return
        new = self._statistic(seen)
        if self.follows:
            new = torch.stack([new[0].clamp(max=0.0), new[1].clamp(min=0.0)])
        self.range.copy_(new if ends is None else self.range.lerp(new, self.config.momentum))

    def follow(self, census: Census, x: Callable[[], Tensor], protect: Tensor | None) -> bool:
        """What `forward` does to a running range, by the census of x() against its ends; whether it moved.

        A range can only move if more entries than may be clipped lie outside it, and only those decide where to.
        So nearly all steps need the counts alone, and `x` is asked for in the others.
        """
        below, above = self.outside(census.entries)
        nonzeros = census.positive + census.negative
        if nonzeros > 0 and census.positive <= above and census.negative <= below:
            self.collapsed.add_(1)
            below, above = self.outside(nonzeros)
        if census.above <= above and census.below <= below:
            return False
        lo, hi = self.range.tolist()
        seen = x()
        if max(census.above, census.below) <= self.sample:
            new_lo = order_statistic(seen, protect, lo, census.below, below, False)
            new_hi = order_statistic(seen, protect, hi, census.above, above, True)
        else:
            new_lo, new_hi = self._statistic(unprotected(seen, protect)).tolist()
        self.range.copy_(torch.tensor([min(new_lo, lo), max(new_hi, hi)]))
        return True

    def _statistic(self, seen: Tensor) -> Tensor:
        """[lo, hi] of these rows, on a sample if they are many; of the non-zero entries if it collapses."""
        new = self._quantiles(seen.flatten())
        if self.fraction and not new.any() and seen.any():
            self.collapsed.add_(1)
            new = self._quantiles(seen[seen != 0])
        return new

    def _quantiles(self, entries: Tensor) -> Tensor:
        """[lo, hi]: order statistics of flat entries, not interpolated."""
        if entries.numel() > self.sample and self.fraction > 0.0:
            entries = entries[torch.randint(entries.numel(), (self.sample,), device=entries.device)]
        below, above = self.outside(entries.numel())
        if below == above == 0:
            return torch.stack(torch.aminmax(entries))
        lo = entries.topk(below + 1, largest=False, sorted=False).values.amax()
        hi = entries.topk(above + 1, sorted=False).values.amin()
        return torch.stack([lo, hi])


def order_statistic(x: Tensor, protect: Tensor | None, end: float, beyond: int, outside: int, upwards: bool) -> float:
    """The entry that leaves `outside` others further out; `end` if the `beyond` entries past it are no more."""
    if beyond <= outside:
        return end
    entries = entries_beyond(x, protect, end, beyond, upwards)
    return float(entries.topk(outside + 1, largest=upwards).values[-1])


def entries_beyond(x: Tensor, protect: Tensor | None, end: float, number: int, upwards: bool) -> Tensor:
    """The entries of unprotected rows above `end` (below it unless `upwards`), `number` of them."""
    if has_kernels(x):
        out = np.empty(number, np.float32)
        kernels.entries_beyond(as_rows(x), as_mask(protect), np.float32(end), upwards, out)
        return torch.from_numpy(out)
    seen = unprotected(x, protect)
    return seen[seen > end] if upwards else seen[seen < end]
