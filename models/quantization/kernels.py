"""Fused passes over CPU tensors (numba): what torch needs five passes and four fresh buffers for.

They implement `functional.quantize` / `dequantize`, skip protected rows on the way, and are tested equal to
them bit for bit. On other devices the torch formulas run instead.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def fake_quantize_rows(x, protected, scale, lo, hi, y, passed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """y = clamp(round(x / scale), lo, hi) * scale, with lo and hi the code limits minus the zero point.

    The rows numbered in `protected` are copied. `passed` marks entries whose code needed no clamp.
    All are C-contiguous [N, W]: one flat pass vectorises best, the few protected rows are restored after it.
    """
    flat_x, flat_y, flat_passed = x.reshape(-1), y.reshape(-1), passed.reshape(-1)
    for i in range(flat_x.size):
        code = np.rint(flat_x[i] / scale)
        clamped = min(max(code, lo), hi)
        flat_y[i] = clamped * scale
        flat_passed[i] = np.uint8(clamped == code)
    for i in protected:
        for j in range(x.shape[1]):
            y[i, j] = x[i, j]
            passed[i, j] = np.uint8(1)


@njit(cache=True, nogil=True)
def mask_gradient(gradient, passed, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """out = gradient where `passed`, else 0 (flat arrays)."""
    for i in range(gradient.size):
        out[i] = gradient[i] if passed[i] else np.float32(0.0)


@njit(cache=True, nogil=True)
def _beyond(x, lo, hi):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    above, below = np.int32(0), np.int32(0)
    for i in range(x.size):
        above += np.int32(x[i] > hi)
        below += np.int32(x[i] < lo)
    return above, below


@njit(cache=True, nogil=True)
def count_outside(x, protected, lo, hi):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Over the rows of x [N, W] but those in `protected`: number of entries, of entries > hi, of entries < lo."""
    above, below = _beyond(x.reshape(-1), lo, hi)
    rows = x.shape[0]
    for i in protected:
        for j in range(x.shape[1]):
            above -= x[i, j] > hi
            below -= x[i, j] < lo
    return (rows - protected.size) * x.shape[1], above, below


@njit(cache=True, nogil=True)
def nonzeros_if_rare(x, protected, limit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Non-zero entries of the rows of x [N, W] but those in `protected` (ascending), if they are few, else 0.

    Few: neither sign has more than `limit` of them.
    Stops as soon as one has: on a tensor that is not sparse after a few per cent of it.
    """
    positive, negative, passed = 0, 0, 0
    for i in range(x.shape[0]):
        if passed < protected.size and protected[passed] == i:
            passed += 1
            continue
        for j in range(x.shape[1]):
            positive += x[i, j] > 0
            negative += x[i, j] < 0
        if positive > limit or negative > limit:
            return 0
    return positive + negative
