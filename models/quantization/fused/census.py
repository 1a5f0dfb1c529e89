"""Counts of a tensor's entries, which tell whether a tracked range has to move."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Tails(NamedTuple):
    """Numbers of entries at the lower and the upper end of a tensor."""

    below: int
    above: int


class TrackedRange(NamedTuple):
    """A range [lo, hi], and the share of entries that its statistic may leave out at an end (the larger of the two)."""

    lo: float
    hi: float
    clipped_share: float


class Census(NamedTuple):
    """Counts of the entries of unprotected rows, taken against a tracked range.

    `positive` and `negative` may stop counting as soon as one of them exceeds the share that may be left out.

    Attributes:
        entries: all entries.
        above, below: entries beyond the ends of the range.
        positive, negative: entries beside zero.
    """

    entries: int
    above: int
    below: int
    positive: int
    negative: int

    @property
    def nonzeros(self) -> int:
        """Entries that are not zero."""
        return self.positive + self.negative

    def leaves_out(self, allowed: Tails) -> bool:
        """Whether the range leaves out no more entries than `allowed` at either end, so that it can stay."""
        return self.above <= allowed.above and self.below <= allowed.below

    def collapses(self, allowed: Tails) -> bool:
        """Whether order statistics that leave out `allowed` are [0, 0], although some entries are not zero."""
        return self.nonzeros > 0 and self.positive <= allowed.above and self.negative <= allowed.below


def take_census(x: Tensor, protect: Tensor | None, tracked: TrackedRange) -> Census:
    """Counts the entries of the unprotected rows of `x` [N, ...] with torch, on any device and of any dtype."""
    seen = unprotected(x, protect)
    counts = [seen > tracked.hi, seen < tracked.lo, seen > 0, seen < 0]
    return Census(seen.numel(), *torch.stack([count.sum() for count in counts]).tolist())


def merge(counts: list[tuple[int, ...]]) -> Census:
    """Adds up the counts that a kernel returned for the parts of a tensor."""
    return Census(*counts[0]) if len(counts) == 1 else Census(*map(sum, zip(*counts, strict=True)))


def unprotected(x: Tensor, protect: Tensor | None) -> Tensor:
    """Returns the rows of `x` [N, ...] that are not set in `protect` [N], without gradient."""
    return x.detach() if protect is None else x.detach()[~protect]
