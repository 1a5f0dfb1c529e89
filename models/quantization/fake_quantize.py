"""Sites: the named places where a layer lets a tensor be quantized.

A layer calls `site(x, protect)` and knows nothing of schemes; `Sites` hands out a pass-through or a
fake-quantizer as the scheme resolves for that name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from app.engine.program.grid import Grid, code_limits, qparams, quantize
from models.quantization.fused.rounding import Rounded, Watch, round_onto, straight_through
from models.quantization.observers import Observer
from models.quantization.qconfig import Domain, SiteConfig
from models.quantization.sparse import Features, SparseRows

RANGE_MARGIN = 1.001618
"""Factor on both ends of a tracked range before it becomes a scale.

A range is an order statistic of values that often lie on a product of other grids (a message is a coefficient
times a feature), so the ratio of two scales would be rational and whole families of values would fall exactly
between two codes, where the last bit of a float sum decides. A slightly irrational stretch takes them apart:
on Cora's GCN it lowers the codes in which training and integer engine differ from 1 in 200 messages to a few in
a million, for 0.2 % of the resolution.
"""


@lru_cache(maxsize=4096)
def widened_grid(lo: float, hi: float, bits: int, signed: bool) -> Grid:
    """The grid of a range with its margin. Ranges rarely move once training settles, so this is remembered."""
    ends = np.float32(lo * RANGE_MARGIN), np.float32(hi * RANGE_MARGIN)
    scale, zero_point = qparams(*ends, *code_limits(bits, signed))
    return Grid(float(np.float32(scale)), int(zero_point), bits, signed)


Rounding = Callable[[Grid, Watch | None], Rounded]
"""Rounds a tensor onto a grid and, where there is something to watch, takes the census against it."""


def with_noise(y: Tensor, x: Tensor, fraction: float | None) -> Tensor:
    """Noisy QAT: a random fraction of the entries of `y`, of `x` the others; None: all."""
    return y if fraction is None else torch.where(torch.rand_like(x) < fraction, y, x)


class Site(nn.Module):
    """A named place that passes its input through: all an FP32 model has."""

    def __init__(self, name: str, domain: Domain) -> None:
        super().__init__()
        self.name, self.domain = name, domain

    def forward(self, x: Features, protect: Tensor | None = None) -> Features:
        """Shapes: x [N, ...] dense, or sparse rows [N, F]; protect [N] bool, the rows to keep in FP32."""
        if isinstance(x, SparseRows):
            rows = None if protect is None else protect.index_select(0, x.pattern.rows)
            return x.with_values(self.quantized(x.values, rows))
        return self.quantized(x, protect)

    @property
    def bits(self) -> int:
        """Bits of the codes; 32: float."""
        return 32

    def quantized(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """What becomes of a dense tensor here."""
        return x

    def grid(self) -> Grid:
        """The values this site lets through.

        Raises:
            ValueError: for a site that does not quantize, or whose observer never saw data.
        """
        raise ValueError(f"site {self.name} is in FP32: an integer program needs every site quantized")

    def column_scales(self, weight: Tensor) -> Tensor | None:
        """What multiplies the values of each column of a weight [F, F'] beside the grid's scale; None: nothing."""
        return None

    def codes(self, x: Tensor) -> Tensor:
        """Codes of `x` on the grid, int32: what export writes and the engine must reproduce."""
        grid = self.grid()
        return quantize(x.detach(), grid.scale, grid.zero_point, grid.qmin, grid.qmax).int()


class FakeQuantize(Site):
    """Observes in training, then rounds onto the tracked grid and back (method: Jacob et al. 2018).

    `observing` (a buffer, so checkpoints keep it) says whether training steps move the range.
    """

    observing: Tensor

    def __init__(self, name: str, domain: Domain, config: SiteConfig) -> None:
        super().__init__(name, domain)
        self.config = config
        self.observer = Observer(config.observer)
        self.register_buffer("observing", torch.tensor(True))

    @property
    def bits(self) -> int:
        """Bits of the codes."""
        return self.config.bits

    @property
    def single_pass(self) -> bool:
        """Whether `settle` is all that happens here, so that an operation may round its result on the way."""
        return self.training and self.config.noise is None

    def observe(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Takes the unprotected rows of `x` into account, whatever the mode."""
        self.observer(x, protect)

    def rounded(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Shapes: x [N, ...]; protect [N] or None."""
        rounded = self.settle(lambda grid, watch: round_onto(x, grid, protect, watch), lambda: x, protect)
        return straight_through(x, rounded, self.config.gradient)

    def quantized(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """`rounded`, but for the entries that noise leaves alone."""
        y = self.rounded(x, protect)
        return with_noise(y, x, self.config.noise) if self.training else y

    def settle(self, rounding: Rounding, x: Callable[[], Tensor], protect: Tensor | None) -> Rounded:
        """`rounding` on the tracked grid, once the tracker has seen x().

        A range that only follows is used before it is updated: rounding takes the census on the way, and is
        repeated in the few steps in which that moves the range.
        """
        observing = self.training and bool(self.observing)
        ends = self.observer.ends
        if observing and (ends is None or not self.observer.follows):
            self.observer(x(), protect)
            observing, ends = False, self.observer.ends
        if not observing or ends is None:
            return rounding(self._grid(ends), None)
        rounded = rounding(self._grid(ends), Watch(*ends, self.observer.fraction))
        assert rounded.census is not None
        moved = self.observer.follow(rounded.census, x, protect)
        return rounding(self.grid(), None) if moved else rounded

    def grid(self) -> Grid:
        """The tracked grid; its scale is exactly a float32.

        Raises:
            ValueError: if the observer never saw data.
        """
        return self._grid(self.observer.ends)

    def _grid(self, ends: tuple[float, float] | None) -> Grid:
        if ends is None:
            raise ValueError(f"site {self.name}: its range tracker has not seen any data; train or calibrate first")
        return widened_grid(*ends, self.config.bits, self.config.signed)

    def extra_repr(self) -> str:
        """Bits and signedness."""
        return f"{self.name}, bits={self.config.bits}, signed={self.config.signed}"
