"""The uniform affine quantizer: the only place of the project that rounds and clamps.

Every function takes NumPy arrays as well as torch tensors (both offer the methods used here), so that
training, export, the integer engine and the tests share one definition, and the engine needs no torch.
Rounding is half to even, as in torch and NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

Array = TypeVar("Array", bound=Any)
"""`numpy.ndarray` or `torch.Tensor`."""

SMALLEST_SCALE = 1e-12
"""Lower bound of a scale: keeps x / scale finite in float32 for tensors whose range is almost empty."""


def code_limits(bits: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest code: two's complement if `signed`, else from zero.

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
        return code_limits(self.bits, self.signed)[0]

    @cached_property
    def qmax(self) -> int:
        """Largest code."""
        return code_limits(self.bits, self.signed)[1]


def qparams(lo: Any, hi: Any, qmin: int, qmax: int) -> tuple[Any, Any]:
    """Scale and zero point of the range [lo, hi], widened so that it holds zero.

    An empty range (lo == hi == 0) gets scale 1 and zero point 0. Zero always falls on a code exactly, so
    padding, dropped entries and the implicit zeros of sparse tensors survive quantization.
    """
    lo, hi = lo.clip(max=0.0), hi.clip(min=0.0)
    empty = hi == lo
    scale = ((hi - lo) / (qmax - qmin)).clip(min=SMALLEST_SCALE)
    scale = scale + empty * (1.0 - scale)
    zero_point = (qmin - (lo / scale).round()).clip(qmin, qmax)
    return scale, zero_point * ~empty


def quantize(x: Array, scale: Any, zero_point: Any, qmin: int, qmax: int) -> Array:
    """Codes of `x`, in the dtype of `x`: clamp(round(x / scale) + zero_point, qmin, qmax)."""
    return ((x / scale).round() + zero_point).clip(qmin, qmax)


def dequantize(codes: Array, scale: Any, zero_point: Any) -> Array:
    """Values of `codes`: (codes - zero_point) * scale."""
    return (codes - zero_point) * scale
