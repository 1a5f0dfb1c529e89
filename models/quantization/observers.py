"""Range observers: track the range [lo, hi] of the tensors that pass a site, without changing them.

A range is made of two independent choices: the statistic of one tensor (`minmax`, `percentile`) and its accumulation
over steps (`running`, `momentum`). Only unprotected rows count.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.quantization.fused import device, kernels
from models.quantization.fused.census import Census, Tails, TrackedRange, take_census, unprotected
from models.quantization.fused.rounding import Roundable, StoredTensor, as_mask, as_rows, has_kernels
from models.quantization.qconfig import ObserverConfig


class Observer(nn.Module):
    """Tracks the range of one site. All state is in buffers of constant shape: checkpoints load into fresh observers.

    Attributes:
        range: [lo, hi], float32; NaN until the first tensor. A running range holds zero from the start, as its
            grid must, so that entries beyond it are never zeros.
        collapsed: how often a percentile was zero at both ends, so that it was taken over the non-zero entries
            instead (a sparse tensor; a scale made from [0, 0] would round everything to zero).
        low_share, high_share: the shares of entries that the statistic leaves out at the two ends; 0 for minmax.
        sample: a percentile of more entries than this is taken on a random sample of them.
    """

    range: Tensor
    collapsed: Tensor

    def __init__(self, config: ObserverConfig) -> None:
        super().__init__()
        self.config = config
        high = (config.percentile or 0.0) / 100.0
        low = high if config.low_percentile is None else config.low_percentile / 100.0
        self.low_share, self.high_share = (low, high) if config.statistic == "percentile" else (0.0, 0.0)
        self.sample = config.sample
        self.register_buffer("range", torch.full((2,), torch.nan))
        self.register_buffer("collapsed", torch.tensor(0))

    @property
    def bounds(self) -> tuple[float, float] | None:
        """(lo, hi), or None if no data was seen."""
        lo, hi = self.range.tolist()
        return None if lo != lo else (lo, hi)

    @property
    def clipped_share(self) -> float:
        """The larger of the shares left out at the two ends."""
        return max(self.low_share, self.high_share)

    @property
    def only_widens(self) -> bool:
        """Whether the range, once there is one, moves only when entries lie beyond it."""
        return self.config.accumulation == "running"

    def tracked(self, bounds: tuple[float, float]) -> TrackedRange:
        """What a census is taken against while the range has these bounds."""
        return TrackedRange(*bounds, self.clipped_share)

    def forward(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Updates the range with the unprotected rows of `x` [N, ...]; without any, nothing happens."""
        if x.device.type != "cpu":
            self._follow(x, protect)
            return
        bounds = self.bounds
        if bounds is not None and self.only_widens:
            self.widen(take_census(x, protect, self.tracked(bounds)), StoredTensor(x, protect))
            return
        seen = unprotected(x, protect)
        if seen.numel() == 0:
            return
        new = self._statistic(seen).to(self.range.dtype)  # of a network in float64 too
        if self.only_widens:
            new = torch.stack([new[0].clamp(max=0.0), new[1].clamp(min=0.0)])
        self.range.copy_(new if bounds is None else self.range.lerp(new, self.config.momentum))

    def _follow(self, x: Tensor, protect: Tensor | None) -> None:
        """The same on a device, without reading from it."""
        device.follow(
            *(self.range, self.collapsed, x, protect),
            left_out=device.Shares(self.low_share, self.high_share),
            sample=self.sample,
            momentum=0.0 if self.only_widens else self.config.momentum,
        )

    def widen(self, census: Census, x: Roundable) -> bool:
        """Updates a running range with `x`, of which the census against this range is known; returns if it moved.

        The range moves only if it leaves out more entries than the statistic does, and then those entries alone
        decide where to. So the counts are enough in nearly all steps; in the others `x` is asked for its tensor.
        """
        allowed = self._left_out_of(census)
        if census.leaves_out(allowed):
            return False
        lo, hi = self.range.tolist()
        if max(census.above, census.below) > self.sample:
            new_lo, new_hi = self._statistic(unprotected(x.tensor(), x.protect)).tolist()
        else:
            new_lo, new_hi = bounds_beyond(lo, hi, census, allowed, x=x.tensor(), protect=x.protect)
        self.range.copy_(torch.tensor([min(new_lo, lo), max(new_hi, hi)]))
        return True

    def _left_out_of(self, census: Census) -> Tails:
        """How many of the counted entries the statistic leaves out; of the non-zero ones if it collapses."""
        allowed = self._left_out(census.entries)
        if not census.collapses(allowed):
            return allowed
        self.collapsed.add_(1)
        return self._left_out(census.nonzeros)

    def _left_out(self, entries: int) -> Tails:
        """How many of so many entries the statistic leaves out at each end."""
        return Tails(below=int(self.low_share * entries), above=int(self.high_share * entries))

    def _statistic(self, seen: Tensor) -> Tensor:
        """[lo, hi] of these rows; of their non-zero entries if it collapses."""
        new = self._order_statistics(seen.flatten())
        if not self._has_collapsed(new, seen):
            return new
        self.collapsed.add_(1)
        return self._order_statistics(seen[seen != 0])

    def _has_collapsed(self, statistic: Tensor, seen: Tensor) -> bool:
        """Whether the statistic is [0, 0] although not all entries are zero (never if nothing is left out)."""
        return self.clipped_share > 0.0 and not statistic.any() and bool(seen.any())

    def _order_statistics(self, entries: Tensor) -> Tensor:
        """[lo, hi] of flat entries, not interpolated; of a percentile on a sample if they are many."""
        if entries.numel() > self.sample and self.clipped_share > 0.0:
            entries = entries[torch.randint(entries.numel(), (self.sample,), device=entries.device)]
        left_out = self._left_out(entries.numel())
        if left_out == (0, 0):
            return torch.stack(torch.aminmax(entries))
        lo = entries.topk(left_out.below + 1, largest=False, sorted=False).values.amax()
        hi = entries.topk(left_out.above + 1, sorted=False).values.amin()
        return torch.stack([lo, hi])


def bounds_beyond(
    lo: float, hi: float, census: Census, allowed: Tails, *, x: Tensor, protect: Tensor | None
) -> tuple[float, float]:
    """Moves lo and hi out until they leave out only the `allowed` entries of the unprotected rows of `x` [N, ...].

    Only entries beyond an end can become the new one, and the census says how many they are.
    """
    if census.below > allowed.below:
        entries = entries_beyond(x, protect, lo, census.below, upwards=False)
        lo = float(entries.topk(allowed.below + 1, largest=False).values[-1])
    if census.above > allowed.above:
        entries = entries_beyond(x, protect, hi, census.above, upwards=True)
        hi = float(entries.topk(allowed.above + 1).values[-1])
    return lo, hi


def entries_beyond(x: Tensor, protect: Tensor | None, end: float, number: int, *, upwards: bool) -> Tensor:
    """Returns the entries of unprotected rows above `end` (below it unless `upwards`), of which there are `number`."""
    if has_kernels(x):
        out = np.empty(number, np.float32)
        kernels.entries_beyond(as_rows(x), as_mask(protect), np.float32(end), upwards, out)
        return torch.from_numpy(out)
    seen = unprotected(x, protect)
    return seen[seen > end] if upwards else seen[seen < end]
