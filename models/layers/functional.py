"""Functions on features that may be dense or sparse: products, sums over neighbours, dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout

from models.layers.graph import Graph
from models.quantization.sparse import AnyFeatures, Features, SparseRows, sum_rows

ONEDNN_FROM = 10_000_000
"""From this many multiplications on, oneDNN computes a product of float32 matrices on one thread of a CPU.

On a Zen 5 core it takes half the time of `@` (MKL) for a tall matrix times a small one, and gives the same bits.
Smaller products stay with `@`, because there the call itself is what costs. So do products on several threads, which
would have to be woken for every block: with two, a step on REDDIT-BINARY takes a tenth longer.
"""

BLOCK = 2048
"""Rows that oneDNN gets at a time. It keeps a buffer as large as the rows for every shape it meets: with whole batches,
each of another size, it would take gigabytes."""


def matmul(x: Features, weight: Tensor) -> Tensor:
    """Returns the product of x [N, F] and weight [F, F']."""
    if isinstance(x, SparseRows):
        return x.matmul(weight)
    return _multiply_with_onednn(x, weight) if suits_onednn(x, weight) else x @ weight


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is installed and the faster choice for this product."""
    large = x.dtype == weight.dtype == torch.float32 and x.shape[0] * weight.numel() >= ONEDNN_FROM
    on_one_core = x.device.type == "cpu" and torch.get_num_threads() == 1
    return large and on_one_core and _has_onednn()


_has_onednn: Callable[[], bool] = torch.backends.mkldnn.is_available


class _TallProduct(torch.autograd.Function):
    """x [N, F] times weight [F, F']; `@` computes the gradient of the weight as fast as oneDNN would."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _tall_product(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = _tall_product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        return to_x, x.t() @ gradient if ctx.needs_input_grad[1] else None


_multiply_with_onednn: Callable[[Tensor, Tensor], Tensor] = _TallProduct.apply


def _tall_product(x: Tensor, weight: Tensor) -> Tensor:
    """The product by oneDNN, with the operator that torch.compile uses; rows after the last whole block by `@`."""
    linear, out = torch.ops.mkldnn._linear_pointwise, x.new_empty(x.shape[0], weight.shape[1])
    whole = x.shape[0] // BLOCK * BLOCK
    for first in range(0, whole, BLOCK):
        rows = slice(first, first + BLOCK)
        out[rows] = linear(x[rows], weight.t(), None, "none", [], "")
    torch.mm(x[whole:], weight, out=out[whole:])
    return out


def scaled(x: AnyFeatures, factor: Tensor) -> AnyFeatures:
    """Multiplies the stored entries of x by a factor of their shape, or by a scalar."""
    return x.with_values(x.values * factor) if isinstance(x, SparseRows) else x * factor


def dropout_factor(x: Features, p: float, *, training: bool) -> Tensor | None:
    """Draws the factors of inverted dropout, 0 or 1 / (1 - p), for the stored entries of `x`; None: no dropout.

    Layers apply them behind the `inputs` site. Before it, the factor 1 / (1 - p) would widen the range tracked in
    training by values that evaluation never sees, and waste up to one bit.
    """
    if not training or p == 0.0:
        return None
    return dropout(torch.ones_like(x.values if isinstance(x, SparseRows) else x), p)


def drop(x: AnyFeatures, p: float, *, training: bool) -> AnyFeatures:
    """Applies inverted dropout to the stored entries of `x`."""
    factor = dropout_factor(x, p, training=training)
    return x if factor is None else scaled(x, factor)


def sum_neighbours(graph: Graph, x: AnyFeatures) -> AnyFeatures:
    """Sums x over in-neighbours: row i is the sum over the sources of edges into i. Sparse rows give sparse rows, with
    the pattern of (A + I) X.
    """
    if isinstance(x, SparseRows):
        neighbourhood = graph.neighbourhood(x.pattern)
        return SparseRows(neighbourhood.pattern, sum_rows(neighbourhood.contributions, x.values[:, None])[:, 0])
    return sum_rows(graph.adjacency, x)


def mean_neighbours(graph: Graph, x: AnyFeatures) -> AnyFeatures:
    """Row i: the mean of x over the sources of edges into i, 0 where there is none; sparse rows as `sum_neighbours`."""
    total, factor = sum_neighbours(graph, x), graph.inverse_degree
    if isinstance(total, SparseRows):
        return total.with_values(total.values * factor[total.pattern.rows])
    return total * factor[:, None]


def add_neighbour_sum(graph: Graph, x: AnyFeatures, neighbour_sum: AnyFeatures) -> AnyFeatures:
    """Returns x + neighbour_sum, where the latter comes from `sum_neighbours` of rows with the pattern of x."""
    if isinstance(x, SparseRows):
        positions = graph.neighbourhood(x.pattern).positions
        return neighbour_sum.with_values(neighbour_sum.values.index_add(0, positions, x.values))
    return x + neighbour_sum
