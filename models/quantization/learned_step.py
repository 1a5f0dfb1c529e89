"""Learned step sizes: a range that the gradient of the loss moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.engine.program.grid import Grid
from models.quantization.fake_quantize import FakeQuantize, widened_grid
from models.quantization.fused import kernels
from models.quantization.fused.parallel import in_parts
from models.quantization.fused.rounding import Rounded, as_rows, has_kernels, round_onto
from models.quantization.qconfig import Domain, SiteConfig
from models.quantization.ranks import of_every_rank, one_range


class LearnedStep(FakeQuantize):
    """Learned step size quantization (Esser et al. 2020), with or without protected rows.

    The observer's statistic of the first training step gives step s and zero point z (as in LSQ+, Bhalgat et al.
    2020, so that a lopsided tensor keeps all its codes); from then on z stands still and the loss moves s:

        d y / d s = (y - x) / s where the code needed no clamp,  y / s where it was clamped,  0 in protected rows,

    times 1 / sqrt(entries * qmax), the paper's gradient scale. The parameter is log s, so that s stays positive and an
    optimizer such as Adam, whose steps do not shrink with a parameter, moves it in proportion to itself (as in
    Jain et al. 2020).
    """

    started: Tensor
    zero_point: Tensor

    def __init__(self, name: str, domain: Domain, config: SiteConfig) -> None:
        super().__init__(name, domain, config)
        self.log_step = nn.Parameter(torch.zeros(()))
        self.register_buffer("zero_point", torch.tensor(0))
        self.register_buffer("started", torch.tensor(False))

    @property
    def single_pass(self) -> bool:
        """Never: the step's gradient needs what was rounded."""
        return False

    def observe(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Begins with the range of `x`; the same on all ranks."""
        super().observe(x, protect)
        self.observer.range.copy_(one_range(of_every_rank(self.observer.range)))
        ends = self.observer.ends
        if ends is not None:
            start = widened_grid(*ends, self.config.bits, self.config.signed)
            self.log_step.data.fill_(math.log(start.scale))
            self.zero_point.fill_(start.zero_point)
            self.started.fill_(True)

    def grid(self) -> Grid:
        """The learned grid; its scale is exactly a float32.

        Raises:
            ValueError: if no data was seen.
        """
        if not self.started:
            return super().grid()
        step = float(self.log_step.detach().exp())
        return Grid(step, int(self.zero_point), self.config.bits, self.config.signed)

    def rounded(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Shapes: x [N, ...]; protect [N] or None."""
        if self.training and self.observing and not self.started:
            self.observe(x, protect)
        grid = self.grid()
        return _LearnedRounding.apply(x, self.log_step, round_onto(x, grid, protect), grid, self.config.gradient)


class _LearnedRounding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, log_step: Tensor, rounded: Rounded, grid: Grid, gradient: str) -> Tensor:
        ctx.passed, ctx.clips, ctx.weight = rounded.passed, gradient == "gc", (x.numel() * grid.qmax) ** -0.5
        ctx.save_for_backward(x, rounded.values)
        return rounded.values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        gradients = _fused_gradients if has_kernels(gradient) else _composed_gradients
        to_x, to_log_step = gradients(gradient, x, y, ctx.passed, ctx.clips)
        return to_x, ctx.weight * to_log_step, None, None, None


def _composed_gradients(gradient: Tensor, x: Tensor, y: Tensor, passed: Any, clips: bool) -> tuple[Tensor, Tensor]:
    of_log_step = y - torch.where(passed, x, 0.0)
    return gradient * passed if clips else gradient, (gradient * of_log_step).sum()


def _fused_gradients(gradient: Tensor, x: Tensor, y: Tensor, passed: Any, clips: bool) -> tuple[Tensor, Tensor]:
    g, unrounded, rounded, to_x = as_rows(gradient), as_rows(x), as_rows(y), np.empty(passed.shape, np.float32)

    def part(a: int, b: int) -> float:
        return kernels.step_gradient(g[a:b], unrounded[a:b], rounded[a:b], passed[a:b], clips, to_x[a:b])

    of_log_step = sum(in_parts(part, len(to_x), to_x.size))
    return torch.from_numpy(to_x).view(x.shape), torch.tensor(of_log_step, dtype=torch.float32)
