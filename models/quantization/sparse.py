"""Sparse matrices for training, with a constant pattern and differentiable values.

Bag-of-words features are about 1 % dense, and layers and quantizers work on their stored entries. A quantizer maps
zero to zero exactly, so the entries that are not stored need no work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.engine.kernel_cache import cached_njit
from models.quantization.fused import gpu, kernels
from models.quantization.fused.parallel import run_on_row_ranges

MOST_ENTRIES = 2**31 - 1
"""Of a sparse matrix, and of its rows and columns: the largest int32."""


def lasting() -> torch.inference_mode:
    """Returns a context, or a decorator, in which tensors are made that outlive an inference mode around it.

    Whatever is cached belongs in it: training cannot use tensors that evaluation has made in inference mode.
    """
    return torch.inference_mode(mode=False)


class Pattern:
    """The positions of the stored entries of a sparse matrix [M, K], in CSR order.

    Shapes:
        rowptr [M + 1], cols [nnz], both int32 (MKL's fast path) on one device.

    Raises:
        ValueError: if int32 cannot number all entries, rows or columns.
    """

    def __init__(self, rowptr: Tensor, cols: Tensor, shape: tuple[int, int]) -> None:
        sizes = {"stored entries": cols.numel(), "rows": shape[0], "columns": shape[1]}
        for what, size in sizes.items():
            if size > MOST_ENTRIES:
                raise ValueError(f"a sparse matrix with {size} {what}: at most {MOST_ENTRIES} are possible")
        self.rowptr, self.cols, self.shape = rowptr.int(), cols.int(), shape

    @cached_property
    @lasting()
    def rows(self) -> Tensor:
        """The row of every stored entry [nnz], int64."""
        counts = self.rowptr.diff().long()
        rows = torch.arange(self.shape[0], device=counts.device)
        return torch.repeat_interleave(rows, counts, output_size=self.cols.numel())

    @cached_property
    @lasting()
    def transposed(self) -> tuple[Pattern, Tensor]:
        """The transposed pattern and, for each of its entries, the position of that entry in this one."""
        order = stable_order(self.cols, self.shape[1])
        first = row_pointers(self.cols.index_select(0, order), self.shape[1])
        return Pattern(first, self.rows.index_select(0, order), self.shape[::-1]), order

    def matrix(self, values: Tensor) -> Tensor:
        """Returns the sparse CSR tensor with these values [nnz]."""
        return torch.sparse_csr_tensor(self.rowptr, self.cols, values, self.shape, check_invariants=False)

    def product(self, values: Tensor, dense: Tensor) -> Tensor:
        """Returns the product [M, F] with a dense [K, F], in the dtype of the latter, without autograd.

        It is formed in float32 at least, under autocast too: torch multiplies sparse matrices of 16 bits on no CPU. On
        a GPU sums are in the order of the entries, which cuSPARSE would not promise.
        """
        exact = dense if dense.dtype in (torch.float32, torch.float64) else dense.float()
        if gpu.takes(exact):
            return gpu.add_rows(self.rowptr, self.cols, values.float(), exact).to(dense.dtype)
        with torch.autocast(exact.device.type, enabled=False):
            return (self.matrix(values.to(exact.dtype)) @ exact).to(dense.dtype)

    def add_up(self, dense: Tensor) -> Tensor:
        """Returns the product [M, F] of a matrix of ones with a dense [K, F], without autograd.

        Each row is the sum of the dense rows that its entries name, added in the order of the entries. `product` gives
        the same numbers (on some processors but for the last bit, since MKL chooses its own order), but takes 1.5
        times (REDDIT-BINARY) to six times (ZINC) as long.
        """
        if gpu.takes(dense):
            return gpu.add_rows(self.rowptr, self.cols, None, dense.detach())
        if dense.device.type != "cpu" or dense.dtype not in (torch.float32, torch.float64):
            return self.product(torch.ones_like(self.cols), dense)
        x, first, columns = dense.detach().contiguous().numpy(), self.rowptr.numpy(), self.cols.numpy()
        out = np.empty((self.shape[0], x.shape[1]), x.dtype)
        entries = columns.size * x.shape[1]
        run_on_row_ranges(lambda a, b: kernels.add_rows(first[a : b + 1], columns, x, out[a:b]), len(out), entries)
        return torch.from_numpy(out)


def row_pointers(sorted_rows: Tensor, num_rows: int) -> Tensor:
    """Returns the CSR offsets [num_rows + 1], int32, of ascending row numbers."""
    return torch._convert_indices_from_coo_to_csr(sorted_rows.long(), num_rows, out_int32=True)


def extremes(numbers: Tensor) -> tuple[int, int]:
    """Returns the smallest and the largest of whole numbers, read together; (0, -1) of none."""
    first, last = torch.stack(torch.aminmax(numbers)).tolist() if numbers.numel() else (0, -1)
    return first, last


def is_sorted(index: Tensor) -> bool:
    """Whether an index on the host is known to ascend; on a GPU nobody waits for the answer."""
    return index.device.type == "cpu" and bool((index[1:] >= index[:-1]).all())


def stable_order(index: Tensor, bound: int) -> Tensor:
    """Returns the positions [E], int64, that sort `index` [E] of numbers 0..bound - 1; the sort is stable."""
    if index.device.type != "cpu":
        return torch.argsort(index, stable=True)
    if is_sorted(index):
        return torch.arange(index.numel())
    return torch.from_numpy(_counting_order(index.numpy(), bound))


@cached_njit(Path(__file__).parent, nogil=True)
def _counting_order(index, bound):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    next_position = np.zeros(bound + 1, np.int64)
    for number in index:
        next_position[number + 1] += 1
    for number in range(bound):
        next_position[number + 1] += next_position[number]
    order = np.empty(index.size, np.int64)
    for i in range(index.size):
        order[next_position[index[i]]] = i
        next_position[index[i]] += 1
    return order


def order_with_loops(source: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """Returns the positions, int64, that sort by target what follows each other: edges [E], one self-loop a node [N].

    Self-loops among the edges, which are sorted by target already, are left out; a node's own stands behind its edges.
    """
    if source.device.type == "cpu":
        return torch.from_numpy(_order_with_loops(source.numpy(), target.numpy(), num_nodes))
    nodes, others = torch.arange(num_nodes, device=source.device), (source != target).nonzero().view(-1)
    order = torch.argsort(torch.cat([target.index_select(0, others), nodes]), stable=True)
    return torch.cat([others, nodes + len(source)]).index_select(0, order)


@cached_njit(Path(__file__).parent, nogil=True)
def _order_with_loops(source, target, num_nodes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    order = np.empty(source.size + num_nodes, np.int64)
    edge = place = 0
    for node in range(num_nodes):
        while edge < source.size and target[edge] == node:
            if source[edge] != node:
                order[place] = edge
                place += 1
            edge += 1
        order[place] = source.size + node
        place += 1
    return order[:place]


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


_multiply: Callable[[Pattern, Tensor, Tensor], Tensor] = _Product.apply


class _RowSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: Pattern, dense: Tensor) -> Tensor:
        ctx.pattern = pattern
        return pattern.add_up(dense)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.pattern.transposed[0].add_up(gradient)


_add_up: Callable[[Pattern, Tensor], Tensor] = _RowSums.apply


def sum_rows(pattern: Pattern, dense: Tensor) -> Tensor:
    """Computes `Pattern.add_up`, differentiable in `dense`."""
    return _add_up(pattern, dense)


def sparse_matmul(pattern: Pattern, values: Tensor, dense: Tensor) -> Tensor:
    """Returns the product [M, F] of a sparse [M, K] and a dense [K, F] matrix, differentiable in both."""
    return _multiply(pattern, values, dense.contiguous())


class SparseRows:
    """A sparse feature matrix [N, F]: values [nnz] at the positions of a constant pattern."""

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
        """Returns a matrix with the same pattern and other values [nnz]."""
        return SparseRows(self.pattern, values)

    def part(self, rows: slice) -> SparseRows:
        """Returns the rows from `rows.start` to before `rows.stop`."""
        rowptr = self.pattern.rowptr[rows.start : rows.stop + 1]
        first, last = int(rowptr[0]), int(rowptr[-1])
        shape = (rows.stop - rows.start, self.shape[1])
        return SparseRows(Pattern(rowptr - first, self.pattern.cols[first:last], shape), self.values[first:last])

    def matmul(self, weight: Tensor) -> Tensor:
        """Returns the product with a dense [F, F'] matrix."""
        return sparse_matmul(self.pattern, self.values, weight)

    def to_dense(self) -> Tensor:
        """Returns the matrix as a dense tensor [N, F]."""
        return self.pattern.matrix(self.values).to_dense()


Features = Tensor | SparseRows
AnyFeatures = TypeVar("AnyFeatures", Tensor, SparseRows)
