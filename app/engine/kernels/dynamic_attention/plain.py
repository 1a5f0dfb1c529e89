"""Dynamic attention logits: loops that any CPU runs. See kernels/common.py for their conventions."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from ..common import code, kernel


@kernel
def logits(accumulator, x, own, shift, vectors, slope, indptr, sources, multiplier, zero, lowest, highest, out):
    """Computes sum_c a_h,c leaky_relu(t_c), with t the sum of the ends' rows, of every edge and head -> out [E, H].

    Args:
        x, own: codes [N, H * C] of all sources, and of the block's targets.
        shift: the sum of both zero points.
        vectors: r of the attention vectors [H, C], int16.
        slope: float64.
    """
    heads, channels = vectors.shape
    total = np.empty(2, accumulator)
    for i in range(own.shape[0]):
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            for h in range(heads):
                total[:] = 0
                for c in range(channels):
                    j = h * channels + c
                    t = np.int32(x[sources[e], j]) + np.int32(own[i, j]) - np.int32(shift)
                    total[np.intp(t < 0)] += t * np.int32(vectors[h, c])
                acc = np.float32(np.float64(total[0]) + slope * np.float64(total[1]))
                out[e, h] = code(acc * multiplier, zero, lowest, highest)
