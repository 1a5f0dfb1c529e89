"""What the compiled ops share: their form, and constants as the kernels want them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from app.engine import dispatch, kernels
from app.engine.backend import Run
from app.engine.bound import BoundOp
from app.engine.dispatch import Codes, Limits
from app.engine.workers import Workers
from models.quantization.functional import Grid


class Step(NamedTuple):
    """A prepared op on dense inputs and, where it has one, its form for inputs that are all sparse."""

    dense: Run
    sparse: Run | None = None


def zero_of(grid: Grid) -> int:
    """The zero point as stored: an offset from the smallest code."""
    return grid.zero_point - grid.qmin


def limits_of(grid: Grid) -> Limits:
    """The last three arguments of kernels that write codes."""
    return zero_of(grid), np.float32(grid.qmin - grid.zero_point), np.float32(grid.qmax - grid.zero_point)


def take(table: np.ndarray, codes: Codes, workers: Workers) -> np.ndarray:
    """table[codes], of the table's dtype."""
    return dispatch.elementwise(kernels.lookup, [codes], table, dtype=table.dtype, workers=workers)


def quantized(x: np.ndarray, scale: np.float32, limits: Limits, workers: Workers) -> Codes:
    """Codes of float32 x."""
    return dispatch.elementwise(dispatch.fastest("quantize"), [x], scale, *limits, dtype=np.uint8, workers=workers)


def residual_of(op: BoundOp, role: str, grid: str) -> np.ndarray:
    """A constant's codes minus their zero point, int16."""
    return op.tensors[role].astype(np.int16) - np.int16(op.grid(grid).zero_point)
