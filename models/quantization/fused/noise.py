"""Noisy QAT (Fan et al. 2020): a random part of a tensor's entries is rounded in a step, the others are left alone.

On a CPU in one pass each way: what is drawn for an entry is a function of a seed and of its place, so nothing of it is
stored and threads change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.quantization.fused.noise_kernels import mix, split
from models.quantization.fused.parallel import run_on_row_ranges
from models.quantization.fused.rounding import as_rows, has_kernels


def with_noise(rounded: Tensor, x: Tensor, fraction: float | None) -> Tensor:
    """Takes a random `fraction` of the entries from `rounded`, the others from `x`; None: all rounded.

    Shapes:
        rounded and x [N, ...] alike.
    """
    if fraction is None:
        return rounded
    if has_kernels(x) and has_kernels(rounded):
        return _apply(rounded, x, fraction)
    return torch.where(torch.rand_like(x) < fraction, rounded, x)


class _WithNoise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rounded: Tensor, x: Tensor, fraction: float) -> Tensor:
        seed = torch.randint(2**63 - 1, ()).item()
        ctx.drawn = np.uint64(seed), np.uint64(round(fraction * 2**32))
        out = np.empty(as_rows(x).shape, np.float32)
        _in_parallel(mix, ctx.drawn, as_rows(rounded), as_rows(x), out)
        return torch.from_numpy(out.reshape(x.shape))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows = as_rows(gradient)
        parts = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.float32)
        _in_parallel(split, ctx.drawn, rows, *parts)
        to_rounded, to_x = (torch.from_numpy(part.reshape(gradient.shape)) for part in parts)
        return to_rounded, to_x, None


_apply: Callable[[Tensor, Tensor, float], Tensor] = _WithNoise.apply


def _in_parallel(made: Callable[..., None], drawn: tuple[np.uint64, np.uint64], *matrices: np.ndarray) -> None:
    seed, limit = drawn
    rows, width = matrices[0].shape

    def on(a: int, b: int) -> None:
        made(seed, a * width, limit, *(matrix[a:b].reshape(-1) for matrix in matrices))

    run_on_row_ranges(on, rows, rows * width)
