"""Fake quantization: rounds a tensor onto a grid, with a straight-through gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from app.engine.program.grid import Grid, dequantize, quantize
from models.quantization.fused import census, gpu, kernels
from models.quantization.fused.census import Census, TrackedRange
from models.quantization.fused.device import DeviceGrid
from models.quantization.fused.parallel import run_on_row_ranges

Gradient = Literal["ste", "gc"]
"""`ste`: identity (Bengio et al. 2013). `gc`: identity where the unclamped code lies in [qmin, qmax], else 0."""

NO_ROWS = np.empty(0, dtype=np.bool_)


class Rounded(NamedTuple):
    """The result of rounding.

    Attributes:
        values: values on the grid (or their sums, where the rounded tensor itself is not stored).
        passed: marks the entries whose code needed no clamp; None: all.
        census: counts taken during rounding, if they were asked for.
    """

    values: Tensor
    passed: Any
    census: Census | None


class Roundable(Protocol):
    """A tensor [N, ...] that can be rounded. It need not be stored: it may be formed while it is rounded."""

    @property
    def protect(self) -> Tensor | None:
        """The rows [N] to leave alone."""

    def tensor(self) -> Tensor:
        """Returns the tensor; this may cost a pass."""

    def round_onto(self, grid: Grid, count_against: TrackedRange | None = None) -> Rounded:
        """Rounds onto `grid` and, in the same pass, takes the census against a tracked range."""


class StoredTensor(NamedTuple):
    """A `Roundable` that is there already."""

    x: Tensor
    protect: Tensor | None

    def tensor(self) -> Tensor:
        """Returns the tensor."""
        return self.x

    def round_onto(self, grid: Grid, count_against: TrackedRange | None = None) -> Rounded:
        """Rounds the tensor in one pass."""
        return round_onto(self.x, grid, self.protect, count_against)


def as_rows(x: Tensor) -> np.ndarray:
    """The memory of `x` as a matrix: its first dimension against all others (a vector becomes one column)."""
    array = np.ascontiguousarray(x.detach().numpy())
    return array if array.ndim == 2 else array.reshape(array.shape[0], math.prod(array.shape[1:]))


def as_mask(protect: Tensor | None) -> np.ndarray:
    """A mask [N] in the form that kernels take; empty: no row is protected."""
    return NO_ROWS if protect is None else protect.numpy()


def has_kernels(x: Tensor) -> bool:
    """Whether the fused kernels take this tensor; the torch formulas take any."""
    return x.dtype == torch.float32 and x.device.type == "cpu"


def round_onto(
    x: Tensor, grid: Grid | DeviceGrid, protect: Tensor | None = None, count_against: TrackedRange | None = None
) -> Rounded:
    """Rounds `x` onto a grid; rows set in `protect` pass unchanged. Takes the census if given a range for it.

    Shapes:
        x [N, ...] float; protect [N] bool or None.
    """
    if isinstance(grid, DeviceGrid) and gpu.takes(x):
        on_grid, unclamped = gpu.round_rows(x.detach(), protect, *grid)
        return Rounded(on_grid, unclamped, None)
    if isinstance(grid, DeviceGrid) or not has_kernels(x):
        return _round_with_torch(x, grid, protect, count_against)
    rows, protected = as_rows(x), as_mask(protect)
    y, passed = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.uint8)
    arguments = kernel_arguments(grid, count_against, rows.size)

    def round_rows(a: int, b: int) -> tuple[int, ...]:
        counts: tuple[int, ...] = kernels.round_rows(rows[a:b], protected[a:b], *arguments, y[a:b], passed[a:b])
        return counts

    counts = census.merge(run_on_row_ranges(round_rows, len(rows), rows.size))
    marks = None if clamps_none(grid, count_against, counts) else passed
    return Rounded(torch.from_numpy(y.reshape(x.shape)), marks, counts)


def need_no_clamp(x: Any, grid: Grid | DeviceGrid) -> Any:
    """Marks the entries of an array or a tensor whose nearest code lies in the limits of the grid."""
    codes = quantize(x, grid.scale, grid.zero_point, grid.qmin - 1, grid.qmax + 1)
    return (codes >= grid.qmin) & (codes <= grid.qmax)


def clamps_none(grid: Grid, tracked: TrackedRange | None, counts: Census) -> bool:
    """Whether counts alone prove that no entry was clamped: all lie in a tracked range whose ends need no clamp."""
    return tracked is not None and counts.above == counts.below == 0 and _covers(grid, tracked.lo, tracked.hi)


@lru_cache(maxsize=4096)
def _covers(grid: Grid, lo: float, hi: float) -> bool:
    return bool(need_no_clamp(np.array([lo, hi], np.float32), grid).all())


def kernel_arguments(grid: Grid, tracked: TrackedRange | None, entries: int) -> tuple[Any, ...]:
    """Returns scale, lo, hi, range_lo, range_hi, enough: the scalars of kernels that round and count `entries`."""
    lo, hi, clipped_share = tracked or (0.0, 0.0, 0.0)
    return *_as_float32(grid, lo, hi), int(clipped_share * entries)


@lru_cache(maxsize=4096)
def _as_float32(grid: Grid, lo: float, hi: float) -> tuple[np.float32, ...]:
    numbers = grid.scale, grid.qmin - grid.zero_point, grid.qmax - grid.zero_point, lo, hi
    return tuple(map(np.float32, numbers))


def _round_with_torch(
    x: Tensor, grid: Grid | DeviceGrid, protect: Tensor | None, tracked: TrackedRange | None
) -> Rounded:
    x = x.detach()
    codes = quantize(x, grid.scale, grid.zero_point, grid.qmin, grid.qmax)
    y = dequantize(codes, grid.scale, grid.zero_point)
    passed = need_no_clamp(x, grid)
    if protect is not None:
        keep = protect.view(-1, *[1] * (x.dim() - 1))
        y, passed = torch.where(keep, x, y), passed | keep
    return Rounded(y, passed, census.take_census(x, protect, tracked) if tracked else None)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Rounded, gradient: Gradient) -> Tensor:
        ctx.passed = rounded.passed if gradient == "gc" else None
        return rounded.values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.passed is None:  # most sites behind another one, and all whose range is that of min and max
            return gradient, None, None
        if isinstance(ctx.passed, np.ndarray):
            return _masked(as_rows(gradient), ctx.passed).view(gradient.shape), None, None
        if gpu.takes(gradient):
            return gpu.mask_gradient(gradient, ctx.passed), None, None
        return torch.where(ctx.passed, gradient, 0.0), None, None


_apply_straight_through: Callable[[Tensor, Rounded, Gradient], Tensor] = _StraightThrough.apply


def _masked(gradient: np.ndarray, passed: np.ndarray) -> Tensor:
    out = np.empty(passed.shape, np.float32)
    run_on_row_ranges(lambda a, b: kernels.mask_gradient(gradient[a:b], passed[a:b], out[a:b]), len(out), out.size)
    return torch.from_numpy(out)


def straight_through(x: Tensor, rounded: Rounded, gradient: Gradient) -> Tensor:
    """Returns the rounded values as a function of `x` with a straight-through gradient."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return rounded.values
    return _apply_straight_through(x, rounded, gradient)


def fake_quantize(
    x: Tensor, grid: Grid | DeviceGrid, gradient: Gradient = "gc", protect: Tensor | None = None
) -> Tensor:
    """Rounds `x` onto a grid as `round_onto` does, with a straight-through gradient."""
    return straight_through(x, round_onto(x, grid, protect), gradient)
