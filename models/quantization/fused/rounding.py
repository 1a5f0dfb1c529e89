"""Fake quantization: integers forward, a straight-through estimate backward."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from app.engine.program.grid import Grid, dequantize, quantize
from models.quantization.fused import kernels
from models.quantization.fused.parallel import in_parts

Gradient = Literal["ste", "gc"]
"""`ste`: identity (Bengio et al. 2013). `gc`: identity where the unclamped code lies in [qmin, qmax], else 0."""

NO_ROWS = np.empty(0, dtype=np.bool_)


class Watch(NamedTuple):
    """What a census counts against: a range, and the share of entries that a statistic leaves out at each end."""

    lo: float
    hi: float
    fraction: float


class Census(NamedTuple):
    """How the entries of unprotected rows lie: their number, those beyond a range's ends, those beside zero.

    Positive and negative entries may be counted only until one of both is more than the share left out.
    """

    entries: int
    above: int
    below: int
    positive: int
    negative: int


class Rounded(NamedTuple):
    """Values on a grid, which entries needed no clamp (None: all), and the census taken on the way (if asked for)."""

    values: Tensor
    passed: Any
    census: Census | None


def as_rows(x: Tensor) -> np.ndarray:
    """The memory of `x` as a matrix: its first dimension against all others (a vector becomes one column)."""
    array = np.ascontiguousarray(x.detach().numpy())
    return array if array.ndim == 2 else array.reshape(array.shape[0], math.prod(array.shape[1:]))


def as_mask(protect: Tensor | None) -> np.ndarray:
    """A mask [N] as the kernels take it."""
    return NO_ROWS if protect is None else protect.numpy()


def has_kernels(x: Tensor) -> bool:
    """Whether the fused kernels take this tensor; the torch formulas take any."""
    return x.dtype == torch.float32 and x.device.type == "cpu"


def round_onto(
    x: Tensor,
    grid: Grid,
    protect: Tensor | None = None,
    watch: Watch | None = None,
) -> Rounded:
    """Values of the codes of `x`; rows set in `protect` pass unchanged; with `watch`, the census against it.

    Shapes:
        x [N, ...] float; protect [N] bool or None.
    """
    if not has_kernels(x):
        return _composed(x, grid, protect, watch)
    rows, protected = as_rows(x), as_mask(protect)
    y, passed = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.uint8)
    numbers = kernel_numbers(grid, watch, rows.size)

    def part(a: int, b: int) -> tuple[int, ...]:
        return kernels.round_rows(rows[a:b], protected[a:b], *numbers, y[a:b], passed[a:b])

    census = total(in_parts(part, len(rows), rows.size))
    return Rounded(torch.from_numpy(y.reshape(x.shape)), None if clamps_none(grid, watch, census) else passed, census)


def clamps_none(grid: Grid, watch: Watch | None, census: Census) -> bool:
    """Whether the census alone says that no entry was clamped: none lies beyond ends that need no clamp themselves."""
    return watch is not None and census.above == census.below == 0 and _holds(grid, watch.lo, watch.hi)


@lru_cache(maxsize=4096)
def _holds(grid: Grid, lo: float, hi: float) -> bool:
    scale, least, largest, lowest, highest = _as_float32(grid, lo, hi)
    return bool(np.rint(lowest / scale) >= least and np.rint(highest / scale) <= largest)


def kernel_numbers(grid: Grid, watch: Watch | None, entries: int) -> tuple[Any, ...]:
    """scale, lo, hi, range_lo, range_hi, enough: what kernels that round and count `entries` are told."""
    lo, hi, fraction = watch or (0.0, 0.0, 0.0)
    return *_as_float32(grid, lo, hi), int(fraction * entries)


@lru_cache(maxsize=4096)
def _as_float32(grid: Grid, lo: float, hi: float) -> tuple[np.float32, ...]:
    numbers = grid.scale, grid.qmin - grid.zero_point, grid.qmax - grid.zero_point, lo, hi
    return tuple(map(np.float32, numbers))


def total(counts: list[tuple[int, ...]]) -> Census:
    """The census of all parts."""
    return Census(*counts[0]) if len(counts) == 1 else Census(*map(sum, zip(*counts, strict=True)))


def _composed(x: Tensor, grid: Grid, protect: Tensor | None, watch: Watch | None) -> Rounded:
    x = x.detach()
    codes = quantize(x, grid.scale, grid.zero_point, grid.qmin, grid.qmax)
    y = dequantize(codes, grid.scale, grid.zero_point)
    passed = codes == (x / grid.scale).round() + grid.zero_point
    if protect is not None:
        keep = protect.view(-1, *[1] * (x.dim() - 1))
        y, passed = torch.where(keep, x, y), passed | keep
    return Rounded(y, passed, take_census(x, protect, watch) if watch else None)


def take_census(x: Tensor, protect: Tensor | None, watch: Watch) -> Census:
    """How the entries of unprotected rows lie against the range watched and zero, by torch."""
    lo, hi, _ = watch
    seen = unprotected(x, protect)
    counts = torch.stack([(seen > hi).sum(), (seen < lo).sum(), (seen > 0).sum(), (seen < 0).sum()])
    return Census(seen.numel(), *counts.tolist())


def unprotected(x: Tensor, protect: Tensor | None) -> Tensor:
    """The rows a mask leaves, without gradient."""
    return x.detach() if protect is None else x.detach()[~protect]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Rounded, clips: bool) -> Tensor:
        ctx.passed = rounded.passed if clips else None
        return rounded.values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.passed is None:  # most sites behind another one, and all whose range is that of min and max
            return gradient, None, None
        if isinstance(ctx.passed, np.ndarray):
            return _masked(as_rows(gradient), ctx.passed).view(gradient.shape), None, None
        return gradient * ctx.passed, None, None


def _masked(gradient: np.ndarray, passed: np.ndarray) -> Tensor:
    out = np.empty(passed.shape, np.float32)
    in_parts(lambda a, b: kernels.mask_gradient(gradient[a:b], passed[a:b], out[a:b]), len(out), out.size)
    return torch.from_numpy(out)


def straight_through(x: Tensor, rounded: Rounded, gradient: Gradient) -> Tensor:
    """The rounded values as a function of `x` that gradients can pass."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return rounded.values
    return _StraightThrough.apply(x, rounded, gradient == "gc")


def fake_quantize(x: Tensor, grid: Grid, gradient: Gradient = "gc", protect: Tensor | None = None) -> Tensor:
    """`round_onto` with a gradient."""
    return straight_through(x, round_onto(x, grid, protect), gradient)
