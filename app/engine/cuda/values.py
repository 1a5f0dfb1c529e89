"""Values on a device: codes are stored as kernels take them (uint8, from the smallest code of their grid on)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..ops.step import largest_of, zero_of
from ..program.grid import Grid
from ..program.grid import quantize as codes_of
from .device import Device
from .kernels import rows as kernels
from .launch import by_entry, limits


def quantized(values: Tensor, grid: Grid, device: Device) -> Tensor:
    """Returns stored codes of float32 values."""
    out, constants = device.empty(*values.shape), (float(np.float32(grid.scale)), *limits(grid))
    by_entry(kernels.quantize, out.numel(), values, out, out.numel(), *constants)
    return out


def rounded(values: Tensor, scale: float, grid: Grid) -> Tensor:
    """Returns stored codes of float32 values by the definition of rounding, in several launches."""
    step = torch.tensor(scale, dtype=torch.float32, device=values.device)  # by a number torch may multiply 1 / scale
    return codes_of(values, step, zero_of(grid), 0, largest_of(grid)).to(torch.uint8)


def dequantized(x: Tensor, grid: Grid) -> Tensor:
    """Returns the values of stored codes, float32."""
    return (x.float() - zero_of(grid)) * float(np.float32(grid.scale))
