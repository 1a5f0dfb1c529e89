"""Rows that are rounded whenever they are read, so that no rounded copy of them exists."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from app.engine.program.grid import Grid
from models.quantization.fake_quantize import Site, Unrounded
from models.quantization.fused import kernels
from models.quantization.fused.parallel import run_on_row_ranges
from models.quantization.fused.rounding import as_rows, kernel_arguments, round_onto
from models.quantization.sparse import Pattern


class RoundedRows(NamedTuple):
    """Rows x [N, F], float32 on a CPU, rounded onto one grid after the other; without gradient."""

    x: Tensor
    grids: tuple[Grid, ...]

    @classmethod
    def at(cls, x: Tensor, *sites: Site | Unrounded) -> RoundedRows:
        """Returns rows as evaluation has them behind some sites, each with one grid for all features."""
        return cls(x, tuple(site.grid() for site in sites if isinstance(site, Site) and site.bits < 32))

    def read(self, rows: Tensor) -> Tensor:
        """Returns rows [n] by their numbers."""
        read = self.x.index_select(0, rows)
        for grid in self.grids:
            read = round_onto(read, grid).values
        return read

    def add_up(self, pattern: Pattern) -> Tensor:
        """Returns the sums [M, F] that `Pattern.add_up` forms of the rounded rows, bit for bit."""
        if not self.grids:
            return pattern.add_up(self.x)
        grids = np.array([kernel_arguments(grid, None, 0)[:3] for grid in self.grids], np.float32)
        x, first, columns = as_rows(self.x), pattern.rowptr.numpy(), pattern.cols.numpy()
        out = np.empty((pattern.shape[0], x.shape[1]), np.float32)

        def add(a: int, b: int) -> None:
            kernels.add_rounded_rows(first[a : b + 1], columns, x, grids, out[a:b])

        run_on_row_ranges(add, len(out), columns.size * x.shape[1])
        return torch.from_numpy(out)
