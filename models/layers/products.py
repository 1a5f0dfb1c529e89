"""Products of features and weights, through oneDNN where it is faster than torch's default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.layers.evaluation.row_blocks import in_blocks, suits_blocks
from models.quantization.sparse import Features, SparseRows

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
    """Returns the product of x [N, F] and weight [F, F'], without gradients in blocks of rows."""
    if suits_blocks(x):
        return in_blocks(lambda block, _: (_matmul(block, weight),), x)[0]
    return _matmul(x, weight)


def _matmul(x: Features, weight: Tensor) -> Tensor:
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
