"""The uniform affine quantizer: the only place of the project that defines rounding and clamping.

All functions accept NumPy arrays and torch tensors, so that training, export and the integer engine share one
definition and the engine needs no torch. Rounding is half to even.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

Array = TypeVar("Array", bound=Any)
"""`numpy.ndarray` or `torch.Tensor`."""

SMALLEST_SCALE = 1e-12
"""Lower bound of a scale: keeps x / scale finite in float32 for tensors whose range is almost empty."""


def code_limits(bits: int, *, signed: bool) -> tuple[int, int]:
    """Returns the smallest and the largest code: two's complement if `signed`, else from zero.

    Raises:
        ValueError: unless 2 <= bits <= 8.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits: expected a whole number from 2 to 8, got {bits}")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


@dataclass(frozen=True)
class Grid:
    """The values a quantized tensor can take: (code - zero_point) * scale for qmin <= code <= qmax."""

    scale: float
    zero_point: int
    bits: int
    signed: bool

    @cached_property
    def qmin(self) -> int:
        """Smallest code."""
        return code_limits(self.bits, signed=self.signed)[0]

    @cached_property
    def qmax(self) -> int:
        """Largest code."""
        return code_limits(self.bits, signed=self.signed)[1]


def qparams(lo: Any, hi: Any, qmin: int, qmax: int) -> tuple[Any, Any]:
    """Returns scale and zero point of a grid that covers the range [lo, hi] and zero.

    Zero always has a code of its own, so that dropped entries and the implicit zeros of sparse tensors survive
    quantization. An empty range (lo == hi == 0) gets scale 1 and zero point 0.
    """
    lo, hi = lo.clip(max=0.0), hi.clip(min=0.0)
    empty = hi == lo
    scale = ((hi - lo) / divisor(qmax - qmin, hi)).clip(min=SMALLEST_SCALE)
    scale = scale + empty * (1.0 - scale)
    zero_point = (qmin - (lo / scale).round()).clip(qmin, qmax)
    return scale, zero_point * ~empty


def divisor(number: Any, x: Any) -> Any:
    """Returns what `x` is divided by so that its quotients are exact: of torch, a number becomes a tensor beside `x`.

    CUDA would multiply by the reciprocal of a number of the host, so that scales, and codes at ties, would be others.
    """
    return x.new_full((), number) if isinstance(number, int | float) and hasattr(x, "new_full") else number


def quantize(x: Array, scale: Any, zero_point: Any, qmin: int, qmax: int) -> Array:  # noqa: PLR0917 - the formula
    """Returns the codes of `x`, in its dtype: clamp(round(x / scale) + zero_point, qmin, qmax)."""
    codes: Array = ((x / divisor(scale, x)).round() + zero_point).clip(qmin, qmax)
    return codes


def dequantize(codes: Array, scale: Any, zero_point: Any) -> Array:
    """Returns the values of `codes`: (codes - zero_point) * scale."""
    values: Array = (codes - zero_point) * scale
    return values


def count_saturated(x: Any, grid: Grid) -> int:
    """Returns how many numbers of an array lie beyond a grid: those whose rounding leaves its codes, NaN among them."""
    steps = (x / x.dtype.type(grid.scale)).round()
    return int((~((steps >= grid.qmin - grid.zero_point) & (steps <= grid.qmax - grid.zero_point))).sum())
