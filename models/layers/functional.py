"""Products and sums that take dense and sparse features alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout

from models.layers.graph import Graph
from models.quantization.sparse import AnyFeatures, Features, SparseRows, sum_rows

ONEDNN_FROM = 10_000_000
"""Multiplications from which on oneDNN forms a product of float32 matrices on one thread of a CPU.

A tall matrix times a small one takes it half the time of `@` (MKL) on a Zen 5 core, and gives the same bits. Smaller
products stay with `@`: there the call is what costs. So do those on several threads, which would have to be woken
for every block: with two, a step on REDDIT-BINARY takes a tenth longer.
"""

BLOCK = 2048
"""Rows that oneDNN is given at a time. It keeps what it made for every shape it meets, with a buffer as large as the
rows: given batches whole, each of another size, it would take gigabytes."""


def matmul(x: Features, weight: Tensor) -> Tensor:
    """x [N, F] times weight [F, F']."""
    if isinstance(x, SparseRows):
        return x.matmul(weight)
    return _TallProduct.apply(x, weight) if suits_onednn(x, weight) else x @ weight


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is there and the faster choice."""
    large = x.dtype == weight.dtype == torch.float32 and x.shape[0] * weight.numel() >= ONEDNN_FROM
    on_one_core = x.device.type == "cpu" and torch.get_num_threads() == 1
    return large and on_one_core and torch.backends.mkldnn.is_available()


class _TallProduct(torch.autograd.Function):
    """x [N, F] times weight [F, F']; the gradient of the weight is left to `@`, which is as fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _tall_product(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = _tall_product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        return to_x, x.t() @ gradient if ctx.needs_input_grad[1] else None


def _tall_product(x: Tensor, weight: Tensor) -> Tensor:
    """By the operator into which torch.compile turns linear layers; the rows behind the last whole block by `@`."""
    linear, out = torch.ops.mkldnn._linear_pointwise, x.new_empty(x.shape[0], weight.shape[1])
    whole = x.shape[0] // BLOCK * BLOCK
    for first in range(0, whole, BLOCK):
        rows = slice(first, first + BLOCK)
        out[rows] = linear(x[rows], weight.t(), None, "none", [], "")
    torch.mm(x[whole:], weight, out=out[whole:])
    return out


def scaled(x: AnyFeatures, factor: Tensor) -> AnyFeatures:
    """x times a factor that has the shape of its stored entries, or is a scalar."""
    return x.with_values(x.values * factor) if isinstance(x, SparseRows) else x * factor


def dropout_factor(x: Features, p: float, training: bool) -> Tensor | None:
    """What inverted dropout multiplies the stored entries of `x` with: 0 or 1 / (1 - p); None: nothing.

    Layers apply it behind the `inputs` site: dropout's factor 1 / (1 - p) would otherwise stretch the tracked
    range in training by values that evaluation never sees, and waste up to a bit of it.
    """
    if not training or p == 0.0:
        return None
    return dropout(torch.ones_like(x.values if isinstance(x, SparseRows) else x), p)


def drop(x: AnyFeatures, p: float, training: bool) -> AnyFeatures:
    """Inverted dropout on the stored entries."""
    factor = dropout_factor(x, p, training)
    return x if factor is None else scaled(x, factor)


def sum_neighbours(graph: Graph, x: AnyFeatures) -> AnyFeatures:
    """Row i: the sum of x over the sources of edges into i. Sparse rows give sparse rows on (A + I) X."""
    if isinstance(x, SparseRows):
        neighbourhood = graph.neighbourhood(x.pattern)
        return SparseRows(neighbourhood.pattern, sum_rows(neighbourhood.contributions, x.values[:, None])[:, 0])
    return sum_rows(graph.adjacency, x)


def add_neighbour_sum(graph: Graph, x: AnyFeatures, neighbour_sum: AnyFeatures) -> AnyFeatures:
    """x + neighbour_sum, where the latter comes from `sum_neighbours` of rows on the pattern of x."""
    if isinstance(x, SparseRows):
        positions = graph.neighbourhood(x.pattern).positions
        return neighbour_sum.with_values(neighbour_sum.values.index_add(0, positions, x.values))
    return x + neighbour_sum
