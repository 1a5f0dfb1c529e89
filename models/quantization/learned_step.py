"""Learned step sizes: ranges that the gradient of the loss moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.engine.program.grid import Grid, code_limits
from models.quantization.fake_quantize import FakeQuantize
from models.quantization.fused import device, gpu, kernels
from models.quantization.fused.device import DeviceGrid
from models.quantization.fused.parallel import run_on_row_ranges
from models.quantization.fused.rounding import Gradient, Rounded, as_rows, has_kernels, round_onto
from models.quantization.qconfig import Domain, SiteConfig
from models.quantization.range_grids import power_of_two_from
from models.quantization.ranks import gather_from_ranks, merge_ranges


class LearnedStep(FakeQuantize):
    """Learned step size quantization (Esser et al. 2020), with or without protected rows.

    The observer's statistic in the first training step gives the step s and the zero point z (as in LSQ+, Bhalgat et
    al. 2020, so that a lopsided tensor keeps all its codes); with `observer.warmup` they follow the observer's range
    for so many steps more. From then on z stays and the loss moves s:

        d y / d s = (y - x) / s where the code needed no clamp,  y / s where it was clamped,  0 in protected rows,

    times 1 / sqrt(entries * qmax), the paper's gradient scale. The parameter is log s, so that s stays positive and an
    optimizer such as Adam, whose steps do not shrink with a parameter, moves it in proportion to itself (as in
    Jain et al. 2020).

    Attributes:
        log_step: log s, a parameter.
        zero_point: z.
        started: whether s and z have been set.
        observed: how many tensors they have been set from; kept where there is a warm-up.
    """

    zero_point: Tensor

    def __init__(self, name: str, domain: Domain, config: SiteConfig) -> None:
        super().__init__(name, domain, config)
        self.log_step = nn.Parameter(torch.zeros(()))
        self.register_buffer("zero_point", torch.tensor(0))
        self.started, self.observed = False, 0

    @property
    def host_state(self) -> tuple[str, ...]:
        """How far the start has come."""
        return *super().host_state, "started", *(("observed",) if self.config.observer.warmup > 0 else ())

    @property
    def follows(self) -> bool:
        """Whether step and zero point are still those of the observer's range."""
        warmup = self.config.observer.warmup
        return not self.started or (warmup > 0 and self.observed <= warmup)

    @property
    def only_rounds(self) -> bool:
        """Never: the gradient of the step needs the tensor that was rounded."""
        return False

    def observe(self, x: Tensor, protect: Tensor | None = None) -> None:
        """Sets step and zero point from the range of `x`, the same on all ranks."""
        super().observe(x, protect)
        self.observer.range.copy_(merge_ranges(gather_from_ranks(self.observer.range)))
        bounds = self.observer.bounds
        if bounds is not None:
            self._start_from(self._grid_of(bounds))
            self.observed += 1

    def _start_from(self, grid: Grid) -> None:
        self.log_step.data.fill_(math.log(grid.scale))
        self.zero_point.fill_(grid.zero_point)
        self.started = True

    def _step(self) -> Tensor:
        """The step, without gradient; by way of float64, since exp in float32 has other last bits on a GPU."""
        return self.log_step.detach().double().exp().float()

    def grid(self) -> Grid:
        """The learned grid; its scale is exactly a float32.

        Raises:
            ValueError: if no data was seen.
        """
        if not self.started:
            return super().grid()
        step = float(self._step())
        step = power_of_two_from(step) if self.config.power_of_two else step
        return Grid(step, int(self.zero_point), self.config.bits, self.config.signed)

    def device_grid(self) -> DeviceGrid:
        """The learned grid, where the step is."""
        if not self.started:
            return super().device_grid()
        step = self._step()
        step = device.power_of_two_from(step) if self.config.power_of_two else step
        return DeviceGrid(step, self.zero_point, *code_limits(self.config.bits, signed=self.config.signed))

    def rounded(self, x: Tensor, protect: Tensor | None) -> Tensor:
        """Rounds all entries of unprotected rows, with gradients for `x` and the step.

        Shapes:
            x [N, ...]; protect [N] or None.
        """
        if self.training and self.observing and self.follows:
            self.observe(x, protect)
        grid = self.grid() if x.device.type == "cpu" else self.device_grid()
        return _round_with_learned_step(x, self.log_step, round_onto(x, grid, protect), grid, self.config.gradient)


class _LearnedRounding(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd takes no names
        ctx: Any, x: Tensor, log_step: Tensor, rounded: Rounded, grid: Grid | DeviceGrid, gradient: Gradient
    ) -> Tensor:
        ctx.save_for_backward(x, rounded.values)
        ctx.passed, ctx.clips = rounded.passed, gradient == "gc"
        ctx.gradient_scale = (max(x.numel(), 1) * grid.qmax) ** -0.5
        return rounded.values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        if gpu.takes(gradient):
            to_x, to_log_step = gpu.step_gradients(gradient, x, y, ctx.passed, ctx.clips)
        else:
            gradients = _fused_gradients if has_kernels(gradient) else _gradients_with_torch
            to_x, to_log_step = gradients(gradient, x, y, ctx.passed, clips=ctx.clips)
        return to_x, ctx.gradient_scale * to_log_step, None, None, None


_round_with_learned_step: Callable[[Tensor, Tensor, Rounded, Grid | DeviceGrid, Gradient], Tensor] = (
    _LearnedRounding.apply
)


def _gradients_with_torch(gradient: Tensor, x: Tensor, y: Tensor, passed: Any, *, clips: bool) -> tuple[Tensor, Tensor]:
    """Gradients to x and log s, before the gradient scale. With `clips`, x has none where its code was clamped."""
    of_log_step = y - torch.where(passed, x, 0.0)
    return torch.where(passed, gradient, 0.0) if clips else gradient, (gradient * of_log_step).sum()


def _fused_gradients(gradient: Tensor, x: Tensor, y: Tensor, passed: Any, *, clips: bool) -> tuple[Tensor, Tensor]:
    """The same in one pass over float32 on a CPU."""
    g, unrounded, rounded, to_x = as_rows(gradient), as_rows(x), as_rows(y), np.empty(passed.shape, np.float32)

    def step_gradient(a: int, b: int) -> float:
        part: float = kernels.step_gradient(g[a:b], unrounded[a:b], rounded[a:b], passed[a:b], clips, to_x[a:b])
        return part

    of_log_step = sum(run_on_row_ranges(step_gradient, len(to_x), to_x.size))
    return torch.from_numpy(to_x).view(x.shape), torch.tensor(of_log_step, dtype=torch.float32)
