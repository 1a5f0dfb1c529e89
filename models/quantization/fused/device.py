"""Ranges and grids as tensors of a device: training on a GPU goes on without the host reading a number from it.

The same formulas as on the host, with two differences. Where a range only widens, the host counts first, and asks for
order statistics in the few steps that move the range; here they are taken in every step. And a percentile of many
entries is taken on a random sample in every step, protected rows and zeros included, of which the others then are used.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.quantization.fused import gpu


class DeviceGrid(NamedTuple):
    """A grid (see `Grid`) whose scale and zero point, both [], are on the device of the tensor to round.

    CUDA multiplies by the reciprocal of a number of the host, so that codes at ties would not be the engine's; it
    divides by a number of its own.
    """

    scale: Tensor
    zero_point: Tensor
    qmin: int
    qmax: int


class Shares(NamedTuple):
    """The shares of entries that a statistic leaves out at the two ends."""

    low: float
    high: float


class Statistic(NamedTuple):
    """What was found in one tensor.

    Attributes:
        range: [lo, hi], float32; of no meaning unless `seen`.
        seen: whether there was an unprotected row.
        collapsed: whether it is that of the non-zero entries, as that of all is zero at both ends.
    """

    range: Tensor
    seen: Tensor
    collapsed: Tensor


def follow(
    tracked: Tensor,
    collapsed: Tensor,
    x: Tensor,
    protect: Tensor | None,
    *,
    left_out: Shares,
    sample: int,
    momentum: float,
) -> None:
    """Moves a tracked range [2] by the unprotected rows of `x` [N, ...]; without any, it stays.

    Args:
        collapsed: counts how often the statistic was that of the non-zero entries.
        momentum: weight of the new range in an average; 0: the range only widens.
    """
    if x.numel() == 0:
        return
    if gpu.takes(x):
        if left_out == (0.0, 0.0):
            gpu.follow_ends(tracked, x.detach(), protect, momentum)
        else:
            drawn = torch.randint(x.numel(), (sample,), device=x.device) if x.numel() > sample else None
            gpu.follow_order(tracked, collapsed, x.detach(), protect, drawn, *left_out, momentum)
        return
    found = statistic(x, protect, left_out, sample)
    new = averaged(tracked, found.range, momentum) if momentum else widened(tracked, found.range)
    tracked.copy_(torch.where(found.seen, new, tracked))
    collapsed.add_(found.seen & found.collapsed)


def statistic(x: Tensor, protect: Tensor | None, left_out: Shares, sample: int) -> Statistic:
    """Returns [lo, hi] of the unprotected rows of `x` [N, ...]: their ends, or what leaves out a share at each.

    Args:
        sample: how many entries are drawn where there are more, if anything is left out.
    """
    rows = x.detach().reshape(x.shape[0], -1)
    hidden = torch.zeros(len(rows), dtype=torch.bool, device=x.device) if protect is None else protect
    if left_out == (0.0, 0.0):
        lo, hi = (rows.masked_fill(hidden[:, None], far).aminmax() for far in (torch.inf, -torch.inf))
        return Statistic(
            torch.stack([lo.min, hi.max]), ~hidden.all(), torch.zeros((), dtype=torch.bool, device=x.device)
        )
    if rows.numel() > sample:
        drawn = torch.randint(rows.numel(), (sample,), device=x.device)
        entries, out = rows.flatten()[drawn], hidden[drawn // rows.shape[1]]
    else:
        entries, out = rows.flatten(), hidden.repeat_interleave(rows.shape[1], output_size=rows.numel())
    return _order_statistics(entries.masked_fill(out, torch.inf).sort().values, (~out).sum(), left_out)


def of_features(x: Tensor, protect: Tensor | None, left_out: Shares, sample: int) -> tuple[Tensor, Tensor]:
    """Returns lo and hi [F, 2] of the features of the unprotected rows of `x` [N, F], and whether there are any.

    Args:
        sample: how many rows are drawn where there are more, if anything is left out.
    """
    rows, hidden = x.detach(), protect
    if hidden is None:
        hidden = torch.zeros(len(rows), dtype=torch.bool, device=x.device)
    if left_out == (0.0, 0.0):
        lo, hi = (rows.masked_fill(hidden[:, None], far) for far in (torch.inf, -torch.inf))
        return torch.stack([lo.amin(0), hi.amax(0)], 1), ~hidden.all()
    if len(rows) > sample:
        drawn = torch.randint(len(rows), (sample,), device=x.device)
        rows, hidden = rows.index_select(0, drawn), hidden.index_select(0, drawn)
    count = (~hidden).sum()
    first, last = (left_out.low * count.double()).long(), count - 1 - (left_out.high * count.double()).long()
    places = torch.stack([first, last]).clamp(0, len(rows) - 1)
    return rows.masked_fill(hidden[:, None], torch.inf).sort(0).values.index_select(0, places).T, count > 0


def _order_statistics(ascending: Tensor, count: Tensor, left_out: Shares) -> Statistic:
    """[lo, hi] of the first `count` entries; of those that are not zero if both are zero. Zeros stand together."""
    negative, zero = (ascending < 0).sum(), (ascending == 0).sum()

    def ends(number: Tensor, without_zeros: Tensor | int) -> Tensor:
        first = (left_out.low * number.double()).long()
        last = number - 1 - (left_out.high * number.double()).long()
        places = torch.stack([first, last])
        places = places + without_zeros * (places >= negative)
        return ascending.gather(0, places.clamp(0, len(ascending) - 1))

    of_all = ends(count, 0)
    collapsed = (of_all == 0).all() & (zero < count)
    return Statistic(torch.where(collapsed, ends(count - zero, zero), of_all), count > 0, collapsed)


def widened(before: Tensor, new: Tensor) -> Tensor:
    """Returns the smallest range that holds both ranges and zero; `before` is NaN where there is none yet."""
    both = torch.stack([torch.fmin(before[0], new[0]), torch.fmax(before[1], new[1])])
    return torch.stack([both[0].clamp(max=0.0), both[1].clamp(min=0.0)])


def averaged(before: Tensor, new: Tensor, momentum: float) -> Tensor:
    """Returns the exponential average of ranges, in the dtype of `before`, which is NaN where there is none yet."""
    new = new.to(before.dtype)
    return torch.where(before.isnan(), new, before.lerp(new, momentum))


def power_of_two_from(scale: Tensor) -> Tensor:
    """Returns the smallest power of two that is not below a scale."""
    fraction, exponent = torch.frexp(scale)  # fraction in [1/2, 1)
    return torch.ldexp(torch.ones_like(scale), exponent - (fraction == 0.5).int())
