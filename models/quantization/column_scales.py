"""Weights with a scale a column: per-channel quantization, where every output feature has a grid of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from app.engine.program.grid import SMALLEST_SCALE, Grid, code_limits, dequantize, quantize
from models.quantization.fake_quantize import RANGE_MARGIN, Site, with_noise
from models.quantization.fused.rounding import Rounded, straight_through
from models.quantization.qconfig import Domain, SiteConfig


class ColumnScales(Site):
    """Fake-quantizes a weight [F, F'] on symmetric grids (Krishnamoorthi 2018, section 3.1): of column j,

        s_j = max_i |w_ij| / qmax, zero point 0.

    A weight is all there, in training as in evaluation, so its magnitudes are taken as they stand: nothing is tracked,
    nothing is clamped, and every entry passes its gradient. The integer program multiplies column j by s_j where it
    multiplies by the scales of the grids anyway.
    """

    def __init__(self, name: str, domain: Domain, config: SiteConfig) -> None:
        super().__init__(name, domain)
        self.config = config

    @property
    def bits(self) -> int:
        """Bits of the codes."""
        return self.config.bits

    def column_scales(self, weight: Tensor) -> Tensor:
        """s_j [F'] of a weight [F, F']."""
        largest = weight.detach().abs().amax(0) * RANGE_MARGIN
        return (largest / code_limits(self.bits, signed=True)[1]).clamp(min=SMALLEST_SCALE)

    def grid(self) -> Grid:
        """That of the codes; their values are times `column_scales`."""
        return Grid(1.0, 0, self.bits, signed=True)

    def codes(self, x: Tensor) -> Tensor:
        """Codes of a weight [F, F'], int32."""
        return self._rounded(x, self.column_scales(x)).int()

    def quantized(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Shapes: x [F, F']."""
        scales = self.column_scales(x)
        values = dequantize(self._rounded(x, scales), scales, 0)
        y = straight_through(x, Rounded(values, None, None), self.config.gradient)
        return with_noise(y, x, self.config.noise) if self.training else y

    def _rounded(self, weight: Tensor, scales: Tensor) -> Tensor:
        grid = self.grid()
        with torch.no_grad():
            return quantize(weight, scales, 0, grid.qmin, grid.qmax)

    def extra_repr(self) -> str:
        """Bits."""
        return f"{self.name}, bits={self.bits}, a scale a column"
