"""Sparse matrices of training: constant structure, differentiable values.

Bag-of-words features are about 1 % dense; layers and quantizers work on their stored entries. A quantizer
maps zero to zero exactly, so the entries that are not stored need no work at all.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numba import njit
from torch import Tensor

from models.quantization.fused import kernels
from models.quantization.fused.parallel import run_on_row_ranges


class Pattern:
    """The structure of a sparse matrix [M, K] in CSR order.

    Shapes:
        rowptr [M + 1], cols [nnz], both int32 (MKL's fast path) on one device.
    """

    def __init__(self, rowptr: Tensor, cols: Tensor, shape: tuple[int, int]) -> None:
        self.rowptr, self.cols, self.shape = rowptr.int(), cols.int(), shape

    @cached_property
    def rows(self) -> Tensor:
        """Row of every stored entry [nnz], int64."""
        counts = self.rowptr.diff().long()
        return torch.repeat_interleave(torch.arange(self.shape[0], device=counts.device), counts)

    @cached_property
    def transposed(self) -> tuple[Pattern, Tensor]:
        """The transpose and, for each of its entries, the position of that entry here."""
        order = stable_order(self.cols, self.shape[1])
        return Pattern(row_pointers(self.cols[order], self.shape[1]), self.rows[order], self.shape[::-1]), order

    def matrix(self, values: Tensor) -> Tensor:
        """The sparse CSR tensor with these values."""
        return torch.sparse_csr_tensor(self.rowptr, self.cols, values, self.shape, check_invariants=False)

    def product(self, values: Tensor, dense: Tensor) -> Tensor:
        """[M, F]: these values times a dense [K, F], in the dtype of the latter; without autograd."""
        return self.matrix(values.to(dense.dtype)) @ dense

    def add_up(self, dense: Tensor) -> Tensor:
        """[M, F]: for every row the sum of the rows of a dense [K, F] that it names; without autograd.

        Rows are added in the order of the entries. `product` with ones gives the same numbers (on some processors up to
        the last bit, since MKL chooses its own order) in 1.5 (REDDIT-BINARY) to six times (ZINC) the time.
        """
        if dense.device.type != "cpu" or dense.dtype not in (torch.float32, torch.float64):
            return self.product(torch.ones_like(self.cols), dense)
        x, first, columns = dense.detach().contiguous().numpy(), self.rowptr.numpy(), self.cols.numpy()
        out = np.empty((self.shape[0], x.shape[1]), x.dtype)
        entries = columns.size * x.shape[1]
        run_on_row_ranges(lambda a, b: kernels.add_rows(first[a : b + 1], columns, x, out[a:b]), len(out), entries)
        return torch.from_numpy(out)


def row_pointers(sorted_rows: Tensor, num_rows: int) -> Tensor:
    """CSR offsets [num_rows + 1], int32, of ascending row numbers."""
    return torch._convert_indices_from_coo_to_csr(sorted_rows.long(), num_rows, out_int32=True)


def stable_order(index: Tensor, bound: int) -> Tensor:
    """Positions [E], int64, that sort `index` [E] of numbers 0..bound - 1; equal ones stay in the order given."""
    if bool((index[1:] >= index[:-1]).all()):
        return torch.arange(index.numel(), device=index.device)
    if index.device.type != "cpu":
        return torch.argsort(index, stable=True)
    return torch.from_numpy(_counting_order(index.numpy(), bound))


@njit(cache=True, nogil=True)
def _counting_order(index, bound):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    place = np.zeros(bound + 1, np.int64)
    for number in index:
        place[number + 1] += 1
    for number in range(bound):
        place[number + 1] += place[number]
    order = np.empty(index.size, np.int64)
    for i in range(index.size):
        order[place[index[i]]] = i
        place[index[i]] += 1
    return order


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: Pattern, values: Tensor, dense: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(values, dense)
        return pattern.product(values, dense)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        values, dense = ctx.saved_tensors
        pattern: Pattern = ctx.pattern
        to_values = to_dense = None
        if ctx.needs_input_grad[1]:
            to_values = (gradient[pattern.rows] * dense[pattern.cols]).sum(-1)
        if ctx.needs_input_grad[2]:
            transposed, order = pattern.transposed
            to_dense = transposed.product(values[order], gradient)
        return None, to_values, to_dense


class _RowSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: Pattern, dense: Tensor) -> Tensor:
        ctx.pattern = pattern
        return pattern.add_up(dense)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.pattern.transposed[0].add_up(gradient)


def sum_rows(pattern: Pattern, dense: Tensor) -> Tensor:
    """`Pattern.add_up`, differentiable."""
    return _RowSums.apply(pattern, dense)


def sparse_matmul(pattern: Pattern, values: Tensor, dense: Tensor) -> Tensor:
    """Product of a sparse [M, K] and a dense [K, F] matrix, differentiable in both; result [M, F]."""
    return _Product.apply(pattern, values, dense.contiguous())


class SparseRows:
    """A sparse feature matrix [N, F]: values [nnz] on a constant pattern."""

    def __init__(self, pattern: Pattern, values: Tensor) -> None:
        self.pattern, self.values = pattern, values

    @classmethod
    def from_tensor(cls, x: Tensor) -> SparseRows:
        """Wraps a torch sparse CSR matrix [N, F]."""
        values = x.values() if x.is_floating_point() else x.values().float()
        return cls(Pattern(x.crow_indices(), x.col_indices(), (x.size(0), x.size(1))), values)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, F)."""
        return self.pattern.shape

    def with_values(self, values: Tensor) -> SparseRows:
        """The same pattern with other values [nnz]."""
        return SparseRows(self.pattern, values)

    def matmul(self, weight: Tensor) -> Tensor:
        """Product with a dense [F, F'] matrix."""
        return sparse_matmul(self.pattern, self.values, weight)

    def to_dense(self) -> Tensor:
        """The same matrix, zeros stored."""
        return self.pattern.matrix(self.values).to_dense()


Features = Tensor | SparseRows
AnyFeatures = TypeVar("AnyFeatures", Tensor, SparseRows)
