"""Fake quantization as an autograd function: integers forward, a straight-through estimate backward."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.quantization import kernels
from models.quantization.functional import dequantize, quantize

Gradient = Literal["ste", "gc"]
"""`ste`: identity (Bengio et al. 2013). `gc`: identity where the unclamped code lies in [qmin, qmax], else 0."""

NO_ROWS = np.empty(0, dtype=np.int64)


def as_rows(x: Tensor) -> np.ndarray:
    """The memory of `x` as a matrix: its first dimension against all others (a vector becomes one column)."""
    array = x.detach().contiguous().numpy()
    return array.reshape(array.shape[0] if array.ndim else 1, math.prod(array.shape[1:]))


def has_kernels(x: Tensor) -> bool:
    """Whether the fused kernels take this tensor; the torch formulas take any."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def numbers(protect: Tensor | None) -> np.ndarray:
    """The rows set in a mask [N], ascending; none without a mask."""
    return NO_ROWS if protect is None else np.flatnonzero(protect.numpy())


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        protect: Tensor | None,
        scale: float,
        zero_point: int,
        qmin: int,
        qmax: int,
        gradient: Gradient,
    ) -> Tensor:
        y, ctx.passed = _quantize(x, protect, scale, zero_point, qmin, qmax)
        ctx.clips = gradient == "gc"
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.clips:
            out = gradient
        elif isinstance(ctx.passed, np.ndarray):
            masked = np.empty(ctx.passed.shape, np.float32)
            kernels.mask_gradient(as_rows(gradient).reshape(-1), ctx.passed.reshape(-1), masked.reshape(-1))
            out = torch.from_numpy(masked.reshape(gradient.shape))
        else:
            out = gradient * ctx.passed
        return out, None, None, None, None, None, None


def _quantize(
    x: Tensor, protect: Tensor | None, scale: float, zero_point: int, qmin: int, qmax: int
) -> tuple[Tensor, Any]:
    """Values on the grid, and which entries needed no clamp."""
    if has_kernels(x):
        return _fused(x, protect, scale, qmin - zero_point, qmax - zero_point)
    return _composed(x, protect, scale, zero_point, qmin, qmax)


def _fused(x: Tensor, protect: Tensor | None, scale: float, lo: int, hi: int) -> tuple[Tensor, np.ndarray]:
    rows = as_rows(x)
    y, passed = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.uint8)
    kernels.fake_quantize_rows(rows, numbers(protect), np.float32(scale), np.float32(lo), np.float32(hi), y, passed)
    return torch.from_numpy(y.reshape(x.shape)), passed


def _composed(
    x: Tensor, protect: Tensor | None, scale: float, zero_point: int, qmin: int, qmax: int
) -> tuple[Tensor, Tensor]:
    codes = quantize(x, scale, zero_point, qmin, qmax)
    y = dequantize(codes, scale, zero_point)
    passed = codes == (x / scale).round() + zero_point
    if protect is not None:
        keep = protect.view(-1, *[1] * (x.dim() - 1))
        y, passed = torch.where(keep, x, y), passed | keep
    return y, passed


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
    if not (x.requires_grad and torch.is_grad_enabled()):
        return _quantize(x, protect, scale, zero_point, qmin, qmax)[0]
    return _FakeQuantize.apply(x, protect, scale, zero_point, qmin, qmax, gradient)
