"""Dynamic attention logits on vectors: computes the same as the kernel of plain.py."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ...simd.vectors import Vector, larger, least, load, sum_lanes, to_i32, zeros
from ..common import code, kernel, part
from ..sums import ask_ahead

NARROWEST = 8
"""Fewest columns of a head: it is read by vectors of 16 or 8, the last of which ends where the head ends."""

U8x8, U8x16, I32x8, I32x16 = Vector("u8", 8), Vector("u8", 16), Vector("i32", 8), Vector("i32", 16)


def lanes_for(channels: int) -> int:
    """Returns the lanes of the vectors that read heads of so many columns."""
    return 16 if channels >= 16 else 8


def padded(vectors: np.ndarray) -> np.ndarray:
    """Returns attention vectors [H, C] as int32 [H, K * lanes], a zero wherever a vector overlaps the one before."""
    heads, channels = vectors.shape
    lanes = lanes_for(channels)
    last = channels - channels % lanes
    overlap = np.zeros((heads, (last + lanes - channels) % lanes), np.int32)
    whole: np.ndarray = np.concatenate([vectors[:, :last], overlap, vectors[:, last:]], axis=1, dtype=np.int32)
    return np.ascontiguousarray(whole)


@part
def logit(kind, words, x, own, shift, vectors, slope, lanes, channels, source, target, h):
    """Returns the accumulator of one edge and head, float32; source and target: the elements where its rows begin."""
    positive, negative, none = zeros(words), zeros(words), zeros(words)
    width = vectors.shape[1]
    for column in range(0, width, lanes):
        c = least(column, channels - lanes)
        t = to_i32(load(kind, x, source + c)) + to_i32(load(kind, own, target + c)) - shift
        a, above = load(words, vectors, h * width + column), larger(t, none)
        positive, negative = positive + above * a, negative + (t - above) * a
    return np.float32(np.float64(sum_lanes(positive)) + slope * np.float64(sum_lanes(negative)))


@kernel
def logits(x, own, shift, vectors, slope, indptr, sources, multiplier, zero, lowest, highest, out):
    """Computes the logits of every edge and head -> out [E, H]; vectors: as `padded` returns them."""
    heads, width = out.shape[1], x.shape[1]
    channels, both = width // heads, np.int32(shift)
    for i in range(own.shape[0]):
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            ask_ahead(U8x8, x, sources, e, width, 0)
            for h in range(heads):
                source, target = np.intp(sources[e]) * width + h * channels, i * width + h * channels
                if channels >= 16:
                    acc = logit(U8x16, I32x16, x, own, both, vectors, slope, 16, channels, source, target, h)
                else:
                    acc = logit(U8x8, I32x8, x, own, both, vectors, slope, 8, channels, source, target, h)
                out[e, h] = code(acc * multiplier, zero, lowest, highest)
