"""Fused passes over CPU tensors (numba): what torch needs five passes and four fresh buffers for.

They implement `functional.quantize` / `dequantize`, skip protected rows on the way, and are tested equal to
them bit for bit. On other devices the torch formulas run instead.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def fake_quantize_rows(x, protect, scale, lo, hi, y, passed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """y = clamp(round(x / scale), lo, hi) * scale, with lo and hi the code limits minus the zero point.

    Rows set in `protect` (length 0: none) are copied. `passed` marks entries whose code needed no clamp.
    """
    any_protected = protect.size > 0
    for i in range(x.shape[0]):
        if any_protected and protect[i]:
            for j in range(x.shape[1]):
                y[i, j] = x[i, j]
                passed[i, j] = np.uint8(1)
        else:
            for j in range(x.shape[1]):
                code = np.rint(x[i, j] / scale)
                clamped = min(max(code, lo), hi)
                y[i, j] = clamped * scale
                passed[i, j] = np.uint8(clamped == code)


@njit(cache=True, nogil=True)
def mask_gradient(gradient, passed, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """out = gradient where `passed`, else 0 (flat arrays)."""
    for i in range(gradient.size):
        out[i] = gradient[i] * np.float32(passed[i])


@njit(cache=True, nogil=True)
def count_outside(x, protect, lo, hi):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Over unprotected rows: number of entries, of entries > hi, < lo, > 0 and < 0."""
    rows, above, below, positive, negative = 0, 0, 0, 0, 0
    any_protected = protect.size > 0
    for i in range(x.shape[0]):
        if any_protected and protect[i]:
            continue
        rows += 1
        a = np.int32(0)
        b = np.int32(0)
        p = np.int32(0)
        n = np.int32(0)
        for j in range(x.shape[1]):
            value = x[i, j]
            a += np.int32(value > hi)
            b += np.int32(value < lo)
            p += np.int32(value > 0)
            n += np.int32(value < 0)
        above += a
        below += b
        positive += p
        negative += n
    return rows * x.shape[1], above, below, positive, negative
