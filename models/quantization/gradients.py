"""Fake quantization as an autograd function: integers forward, a straight-through estimate backward."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.quantization import kernels
from models.quantization.functional import dequantize, quantize

Gradient = Literal["ste", "gc"]
"""`ste`: identity (Bengio et al. 2013). `gc`: identity where the unclamped code lies in [qmin, qmax], else 0."""

NO_ROWS = np.empty(0, dtype=np.bool_)


def rows_of(x: Tensor) -> Tensor:
    """`x` as a contiguous matrix: its first dimension against all others (a vector becomes one column)."""
    return x.detach().contiguous().reshape(x.shape[0] if x.dim() else 1, -1)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, protect: Tensor | None, scale: float, zero_point: int, qmin: int, qmax: int
    ) -> tuple[Tensor, Tensor]:
        if x.device.type == "cpu" and x.dtype == torch.float32:
            y, passed = _fused(x, protect, scale, qmin - zero_point, qmax - zero_point)
        else:
            y, passed = _composed(x, protect, scale, zero_point, qmin, qmax)
        ctx.mark_non_differentiable(passed)
        ctx.save_for_backward(passed)
        return y, passed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (passed,) = ctx.saved_tensors
        if gradient.device.type == "cpu" and gradient.dtype == torch.float32:
            gradient = gradient.contiguous()
            out = torch.empty_like(gradient)
            kernels.mask_gradient(gradient.view(-1).numpy(), passed.view(-1).numpy(), out.view(-1).numpy())
        else:
            out = gradient * passed
        return out, None, None, None, None, None


def _fused(x: Tensor, protect: Tensor | None, scale: float, lo: int, hi: int) -> tuple[Tensor, Tensor]:
    rows = rows_of(x)
    if protect is None:
        rows = rows.view(1, -1)  # one long row vectorises best
    y = torch.empty(x.shape, dtype=torch.float32)
    passed = torch.empty(x.shape, dtype=torch.uint8)
    kernels.fake_quantize_rows(
        rows.numpy(),
        NO_ROWS if protect is None else protect.numpy(),
        np.float32(scale),
        np.float32(lo),
        np.float32(hi),
        y.view(rows.shape).numpy(),
        passed.view(rows.shape).numpy(),
    )
    return y, passed


def _composed(
    x: Tensor, protect: Tensor | None, scale: float, zero_point: int, qmin: int, qmax: int
) -> tuple[Tensor, Tensor]:
    codes = quantize(x, scale, zero_point, qmin, qmax)
    y = dequantize(codes, scale, zero_point)
    passed = codes == (x / scale).round() + zero_point
    if protect is not None:
        keep = protect.view(-1, *[1] * (x.dim() - 1))
        y, passed = torch.where(keep, x, y), passed | keep
    return y, passed.to(torch.uint8)


def fake_quantize(
    x: Tensor,
    scale: float,
    zero_point: int,
    qmin: int,
    qmax: int,
    gradient: Gradient = "gc",
    protect: Tensor | None = None,
) -> Tensor:
    """Values of the codes of `x`, with a gradient; rows set in `protect` pass unchanged.

    Shapes:
        x [N, ...] float; protect [N] bool or None.
    """
    if gradient == "ste":
        y = _FakeQuantize.apply(x.detach(), protect, scale, zero_point, qmin, qmax)[0]
        return _StraightThrough.apply(x, y)
    return _FakeQuantize.apply(x, protect, scale, zero_point, qmin, qmax)[0]


class _StraightThrough(torch.autograd.Function):
    """Forward: the second argument. Backward: the gradient, unchanged, to the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
