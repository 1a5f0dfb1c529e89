"""Prepared products with a weight."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from ..kernels.common import accumulator_of_products
from ..ops.step import largest_of, zero_of
from ..program.grid import Grid
from .device import Device
from .kernels.products import product
from .launch import DTYPES, EXACT, limits

MIDDLE = 128
"""What is taken off stored codes, so that they are int8."""
WORD = 16
"""Bytes that a GPU loads at once, if rows are as long as a multiple of it: else it takes them one by one."""
MOST_INNER = 2**31 // MIDDLE**2 - 1
"""Most columns whose products of int8 stay within int32 on the way, too: tensor cores may clamp there, not wrap."""


def tile(number: int, most: int) -> int:
    """Returns how many rows or columns, of so many, a program takes: tensor cores take 16 at least."""
    return min(max(1 << (number - 1).bit_length(), 16), most)


class Epilogue(NamedTuple):
    """What products are multiplied by, multipliers [M] times factors [n] if there are any, and addends [M]."""

    multipliers: Tensor
    addends: Tensor
    factors: Tensor | None


class Product:
    """The product of codes r_x [n, K] and a weight r_w [M, K], on the int8 of tensor cores.

    Args:
        weight: r_w, int16.
        grid: of x.
    """

    def __init__(self, weight: np.ndarray, grid: Grid, device: Device) -> None:
        fits = weight.min(initial=0) >= -MIDDLE and weight.max(initial=0) < MIDDLE
        self._shift = 0 if fits else int(weight.min()) + MIDDLE
        self._padding = -weight.shape[1] % WORD
        self._weight = device.put(np.pad((weight - self._shift).astype(np.int8), ((0, 0), (0, self._padding))))
        accumulator = accumulator_of_products(weight, zero_of(grid), largest_of(grid))
        if weight.shape[1] > MOST_INNER:
            accumulator = np.dtype(np.int64)
        offsets = (MIDDLE - zero_of(grid)) * weight.sum(1, dtype=np.int64)
        self._offsets = device.put(offsets.astype(accumulator))  # may wrap around in int32, and comes back
        self._dtype, self._device = DTYPES[accumulator], device

    def accumulators(self, x: Tensor) -> Tensor:
        """Returns the products [n, M], int32 or int64."""
        return self._started(x, "acc", self._device.empty(len(x), len(self._weight), dtype=self._dtype[1]))

    def floats(self, x: Tensor, epilogue: Epilogue) -> Tensor:
        """Returns what the epilogue makes of the products [n, M], float32."""
        out = self._device.empty(len(x), len(self._weight), dtype=torch.float32)
        return self._started(x, "floats", out, epilogue=epilogue)

    def codes(self, x: Tensor, epilogue: Epilogue, grid: Grid) -> Tensor:
        """Returns the codes of the same on a grid."""
        out = self._device.empty(len(x), len(self._weight))
        return self._started(x, "codes", out, epilogue=epilogue, writes=limits(grid))

    def _started(
        self,
        x: Tensor,
        result: Literal["acc", "floats", "codes"],
        out: Tensor,
        *,
        epilogue: Epilogue | None = None,
        writes: tuple[int, float, float] = (0, 0.0, 0.0),
    ) -> Tensor:
        multipliers, addends, factors = epilogue or (x, x, None)  # x: which is not read
        x = torch.nn.functional.pad(x, (0, self._padding), value=MIDDLE) if self._padding else x
        (rows, inner), columns = x.shape, len(self._weight)
        sizes = {"ROWS": tile(rows, 64), "COLUMNS": tile(columns, 128), "INNER": 64}
        warps = 8 if sizes["ROWS"] * sizes["COLUMNS"] > 64 * 64 else 4  # with fewer, registers do not suffice
        place = triton.cdiv(rows, sizes["ROWS"]), triton.cdiv(columns, sizes["COLUMNS"])
        scaled, about = factors is not None, (rows, inner, columns, self._shift)
        product[place](
            x, self._weight, self._offsets, factors if scaled else x, multipliers, addends, out, *about, *writes,
            ACC=self._dtype[0], SHIFTED=self._shift != 0, SCALED=scaled, RESULT=result, num_warps=warps, **sizes,
            **EXACT,
        )  # fmt: skip
        return out
