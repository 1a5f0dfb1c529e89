"""Per-feature quantization of values: every feature has a scale and a zero point of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from app.engine.program.grid import SMALLEST_SCALE, Grid, dequantize, quantize
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.fused import device
from models.quantization.fused.census import unprotected
from models.quantization.fused.device import power_of_two_from
from models.quantization.fused.rounding import Rounded, need_no_clamp, straight_through
from models.quantization.observers import Observer
from models.quantization.qconfig import Domain, ObserverConfig, SiteConfig
from models.quantization.range_grids import RANGE_MARGIN
from models.quantization.ranks import merge_ranges

if TYPE_CHECKING:
    from models.quantization.builder import Deferred, ProgramBuilder, Ref

LARGEST_OFFSET = 2.0**15
"""Of a zero point, in steps: there float32 still parts a step into 256. A feature that is nearly constant gets a step
that is no finer."""


class FeatureMap(NamedTuple):
    """What takes the values of a feature to the grid that all features share: x * factor + shift, both [F], float32."""

    factor: Tensor
    shift: Tensor

    def applied(self, x: Tensor) -> Tensor:
        """Returns mapped values."""
        return x * self.factor.to(x) + self.shift.to(x)

    def undone(self, mapped: Tensor) -> Tensor:
        """Returns the values that were mapped."""
        return (mapped - self.shift.to(mapped)) / self.factor.to(mapped)

    def undone_before(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scale and shift [F] that do to mapped values what the given ones do to the values themselves."""
        exact = scale.double() / self.factor.double()
        return exact.float(), (shift.double() - self.shift.double() * exact).float()


class FeatureObserver(Observer):
    """Tracks a range of every feature of rows [N, F].

    Attributes:
        range: lo and hi of every feature [F, 2], float32; NaN until the first tensor.
    """

    def __init__(self, config: ObserverConfig, width: int) -> None:
        super().__init__(config)
        self.range = torch.full((width, 2), torch.nan)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest lo and the largest hi, or None if no data was seen."""
        lo, hi = self.range[:, 0].min().item(), self.range[:, 1].max().item()
        return None if lo != lo else (lo, hi)

    def forward(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Updates the ranges with the unprotected rows of `x` [N, F]; without any, nothing happens."""
        if x.numel() == 0:
            return
        if x.device.type != "cpu":
            shares = device.Shares(self.low_share, self.high_share)
            found, any_seen = device.of_features(x, protect, shares, max(1, self.sample // x.shape[1]))
            self.range.copy_(torch.where(any_seen, self._moved_by(found), self.range))
            return
        seen = unprotected(x, protect)
        if seen.numel() > 0:
            self.range.copy_(self._moved_by(self._of_features(seen)))

    def _moved_by(self, new: Tensor) -> Tensor:
        if self.only_widens:
            return merge_ranges(torch.stack([self.range, new]))
        return device.averaged(self.range, new, self.config.momentum)

    def _of_features(self, rows: Tensor) -> Tensor:
        """lo and hi [F, 2] of rows [n, F]; of a percentile on a sample of them if their entries are many."""
        rows, most = rows.detach(), max(1, self.sample // rows.shape[1])
        if len(rows) > most and self.clipped_share > 0.0:
            rows = rows[torch.randint(len(rows), (most,), device=rows.device)]
        left_out = self._left_out(len(rows))
        if left_out == (0, 0):
            return torch.stack(torch.aminmax(rows, dim=0), 1)
        lo = rows.topk(left_out.below + 1, dim=0, largest=False, sorted=False).values.amax(0)
        hi = rows.topk(left_out.above + 1, dim=0, sorted=False).values.amin(0)
        return torch.stack([lo, hi], 1)


class FeatureScales(FakeQuantize):
    """Fake-quantizes values [N, F] on one grid per feature. Feature j has

        s_j = (hi_j - lo_j) / (qmax - qmin),  z_j = qmin - lo_j / s_j,  code = clamp(round(x / s_j + z_j)).

    The zero point is no whole number, for nothing needs an exact zero here. All features share the grid of the codes,
    with scale 1 and zero point 0, behind a map of their own. The op that makes the codes has it in its epilogue; what
    reads them, feature by feature (a BatchNorm), undoes it in its own multipliers. So the engine has no more to do.

    Where what reads them is a linear map of each feature that rounds on its way, such as messages and their sums, the
    codes are carried as they are and s_j multiplies what comes of them; z_j is 0 there.

    With `symmetric` z_j is 0; with `power_of_two` s_j is rounded up to one.

    Args:
        width: F.
    """

    def __init__(self, name: str, domain: Domain, config: SiteConfig, width: int) -> None:
        super().__init__(name, domain, replace(config, signed=True))
        self.observer = FeatureObserver(config.observer, width)

    @property
    def only_rounds(self) -> bool:
        """Never: kernels that form a tensor round it onto one grid."""
        return False

    def features(self) -> FeatureMap:
        """Returns the maps onto the grid that all features share; NaN if no data was seen."""
        grid = self.shared
        lo, hi = self.observer.range.double().unbind(1)
        largest = torch.maximum(lo.abs(), hi.abs())
        if self.config.symmetric:
            step = largest * RANGE_MARGIN / grid.qmax
        else:
            centre, half = (lo + hi) / 2, (hi - lo) / 2 * RANGE_MARGIN
            lo, step = centre - half, 2 * half / (grid.qmax - grid.qmin)
            step = torch.maximum(step, largest / LARGEST_OFFSET)
        step = step.clamp(min=SMALLEST_SCALE)
        step = power_of_two_from(step) if self.config.power_of_two else step
        shift = torch.zeros_like(step) if self.config.symmetric else grid.qmin - lo / step
        return FeatureMap((1.0 / step).float(), shift.float())

    @property
    def shared(self) -> Grid:
        """The grid of all codes, with scale 1."""
        return Grid(1.0, 0, self.bits, signed=True)

    def grid(self) -> Grid:
        """The same.

        Raises:
            ValueError: if no data was seen.
        """
        return super().grid() if self.observer.bounds is None else self.shared

    def limits(self) -> tuple[float, float, float]:
        """Smallest and largest value of all features, and the mean of their steps."""
        grid, features = self.grid(), self.features()
        ends = [(end - features.shift) / features.factor for end in (grid.qmin, grid.qmax)]
        return float(ends[0].min()), float(ends[1].max()), float((1.0 / features.factor).mean())

    def aligned(self, x: Tensor) -> Tensor:
        """Returns `x` on the scale of the grid."""
        return self.features().applied(x)

    def rounded(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Rounds all entries of unprotected rows, with a straight-through gradient.

        Shapes:
            x [N, F]; protect [N] or None.
        """
        if self.training and self.observing:
            self.observe(x, protect)
        self.check_range()
        grid, features = self.shared, self.features()
        mapped = features.applied(x.detach())
        codes = quantize(mapped, grid.scale, grid.zero_point, grid.qmin, grid.qmax)
        values = features.undone(dequantize(codes, grid.scale, grid.zero_point))
        passed = need_no_clamp(mapped, grid)
        if protect is not None:
            values, passed = torch.where(protect[:, None], x.detach(), values), passed | protect[:, None]
        return straight_through(x, Rounded(values, passed, None), self.config.gradient)

    def carried(self, x: Tensor) -> Tensor:
        """Multiples of each feature's step; of a site whose zero points are 0."""
        return x * self.features().factor

    def restored(self, x: Tensor) -> Tensor:
        """See `Site`."""
        return x / self.features().factor

    def lower(self, builder: ProgramBuilder, x: Ref | Deferred) -> Ref:
        """The map in the epilogue of an op that waits, or of a requantize."""
        features = self.features()
        return replace(builder.affine(x, *features).emit(builder, self), features=features)

    def extra_repr(self) -> str:
        """Bits."""
        return f"{self.name}, bits={self.bits}, one scale per feature"
