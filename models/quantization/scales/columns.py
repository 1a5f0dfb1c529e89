"""Per-channel quantization of weights: every output feature has a scale of its own."""

from __future__ import annotations

from torch import Tensor

from app.engine.program.grid import SMALLEST_SCALE, Grid, dequantize, divisor, quantize
from models.quantization.fake_quantize import Site
from models.quantization.fused.noise import with_noise
from models.quantization.fused.rounding import Rounded, straight_through
from models.quantization.qconfig import Domain, SiteConfig
from models.quantization.range_grids import RANGE_MARGIN


class ColumnScales(Site):
    """Fake-quantizes a weight [F, F'] on one symmetric grid per column (Krishnamoorthi 2018, section 3.1). Column j has

        s_j = max_i |w_ij| / qmax, zero point 0.

    Training and evaluation see the whole weight, so its magnitudes are taken anew each time: no range is tracked,
    no entry is clamped, and every entry passes its gradient. The integer program multiplies column j by s_j in the
    same step in which it multiplies by the scales of the grids.
    """

    def __init__(self, name: str, domain: Domain, config: SiteConfig) -> None:
        super().__init__(name, domain)
        self.config = config

    @property
    def bits(self) -> int:
        """Bits of the codes."""
        return self.config.bits

    def column_scales(self, weight: Tensor) -> Tensor:
        """Returns s_j [F'] of a weight [F, F']."""
        largest = weight.detach().abs().amax(0) * RANGE_MARGIN
        scales: Tensor = largest / divisor(self.grid().qmax, largest)
        return scales.clamp(min=SMALLEST_SCALE)

    def grid(self) -> Grid:
        """The grid of the codes, with scale 1: the values are these times `column_scales`."""
        return Grid(1.0, 0, self.bits, signed=True)

    def codes(self, x: Tensor) -> Tensor:
        """Returns the codes of a weight [F, F'], int32."""
        return self._codes(x, self.column_scales(x)).int()

    def quantized(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Rounds a weight [F, F']; in noisy training only a random part of its entries."""
        scales = self.column_scales(x)
        values = dequantize(self._codes(x, scales), scales, 0)
        y = straight_through(x, Rounded(values, None, None), self.config.gradient)
        return with_noise(y, x, self.config.noise) if self.training else y

    def _codes(self, weight: Tensor, scales: Tensor) -> Tensor:
        grid = self.grid()
        return quantize(weight.detach(), scales, grid.zero_point, grid.qmin, grid.qmax)

    def extra_repr(self) -> str:
        """Bits."""
        return f"{self.name}, bits={self.bits}, one scale per column"
