"""Attention on vectors: computes the same as the kernels of plain.py.

A vector holds HEADS heads of one edge; the last vector ends with the last head.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..simd.vectors import Vector, gather, larger, least, load, store, to_i32, to_u8, zeros
from .common import kernel
from .sums import codes

HEADS = 8
"""Lanes of a vector, and the smallest number of heads."""

MOST_HEADS = 16
"""Up to so many heads, `by_heads` is used: its result is as many times larger than the vectors as there are heads."""

U8, I32, F32 = Vector("u8", HEADS), Vector("i32", HEADS), Vector("f32", HEADS)


def by_heads(vectors: np.ndarray) -> np.ndarray:
    """Returns attention vectors [2, H, C] as a block-diagonal weight [2 * H, H * C], for a matrix product."""
    _, heads, channels = vectors.shape
    weight = np.zeros((2, heads, heads, channels), vectors.dtype)
    weight[:, np.arange(heads), np.arange(heads)] = vectors
    return weight.reshape(2 * heads, heads * channels)


@kernel
def attention_logits(scores, own, indptr, sources, multiplier, zero, lowest, highest, out):
    """Computes the attention logits of every edge -> out [E, H]; see the plain kernel."""
    heads = out.shape[1]
    for i in range(own.shape[0]):
        for head in range(0, heads, HEADS):
            h = least(head, heads - HEADS)
            of_target = load(I32, own, (2 * i + 1) * heads + h)
            for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
                total = load(I32, scores, 2 * np.intp(sources[e]) * heads + h) + of_target
                store(out, e * heads + h, to_u8(codes(total, multiplier, zero, lowest, highest)))


@kernel
def softmax(logits, exponentials, indptr, out):
    """Computes the softmax of logits [E, H] over the edges into each node -> out [E, H]; see the plain kernel."""
    heads, width = logits.shape[1], np.int32(exponentials.shape[1])
    for i in range(indptr.size - 1):
        begin, end = (indptr[i] - indptr[0]) * heads, (indptr[i + 1] - indptr[0]) * heads
        for head in range(0, heads, HEADS):
            h = least(head, heads - HEADS)
            best = zeros(U8)
            for at in range(begin + h, end + h, heads):
                best = larger(best, load(U8, logits, at))
            row, total = to_i32(best) * width, zeros(F32)
            for at in range(begin + h, end + h, heads):
                power = gather(F32, exponentials, row, logits, at)
                store(out, at, power)
                total = total + power
            total = total + np.float32(1e-16)
            for at in range(begin + h, end + h, heads):
                store(out, at, load(F32, out, at) / total)
