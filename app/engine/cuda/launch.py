"""How ops start kernels: sizes, and arguments in the form that Triton takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ops.step import limits_of
from ..program.grid import Grid

BLOCK = 1024
"""Entries of one program of a kernel that takes entry by entry."""
EXACT = {"enable_fp_fusion": False}
"""Launches with it round every product and every sum by itself."""
WIDEST = 128
"""Most columns of one program."""
DTYPES = {np.dtype(np.int32): (tl.int32, torch.int32), np.dtype(np.int64): (tl.int64, torch.int64)}
"""Accumulators, as Triton and as torch call them."""


def limits(grid: Grid) -> tuple[int, float, float]:
    """Returns zero, lowest and highest of a grid that is written."""
    zero, lowest, highest = limits_of(grid)
    return zero, float(lowest), float(highest)


def by_entry(kernel: Any, entries: int, *arguments: Any, block: int = BLOCK, **constants: Any) -> None:
    """Starts a kernel that takes so many entries, BLOCK by BLOCK."""
    kernel[(triton.cdiv(entries, block),)](*arguments, BLOCK=block, **constants, **EXACT)


def by_row(kernel: Any, out: Tensor, *arguments: Any, pieces: int, mean_degree: float, **constants: Any) -> None:
    """Starts a kernel that takes the edges into each row of out [n, W], or a piece of them, for some columns."""
    columns = min(max(triton.next_power_of_2(out.shape[1]), 2), WIDEST)
    edges = min(max(triton.next_power_of_2(int(mean_degree)), 4), 32)
    grid = pieces, triton.cdiv(out.shape[1], columns)
    warps = 1 if edges * columns <= 1024 else 4
    kernel[grid](*arguments, EDGES=edges, COLUMNS=columns, num_warps=warps, **constants, **EXACT)
