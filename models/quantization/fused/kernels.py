"""Fused kernels for float32 tensors on a CPU (numba): one pass where torch needs five passes and four new buffers.

They compute `quantize` and `dequantize` of `app.engine.program.grid`, leave protected rows alone, and are tested to
equal those functions bit for bit. For other tensors the torch formulas run instead. Matrices are C-contiguous [N, W];
`protected` [N] bool marks the rows to leave alone, and is empty if there is no mask.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
from pathlib import Path

import numpy as np

from app.engine.kernel_cache import cached_njit

SOURCES = Path(__file__).parents[1]
"""Where all that kernels of this package depend on is found."""

kernel = cached_njit(SOURCES, nogil=True, error_model="numpy")
reordering_kernel = cached_njit(SOURCES, nogil=True, fastmath={"reassoc"})
"""Compiles a kernel whose sums the compiler may reorder."""


@kernel
def round_flat(x, scale, lo, hi, range_lo, range_hi, y, passed):
    """`round_rows` on flat arrays, without a mask and without counting signs: one pass that vectorises."""
    above, below = np.int32(0), np.int32(0)
    for i in range(x.size):
        value = x[i]
        code = np.rint(value / scale)
        clamped = min(max(code, lo), hi)
        y[i] = clamped * scale
        passed[i] = np.uint8(clamped == code)
        above += np.int32(value > range_hi)
        below += np.int32(value < range_lo)
    return above, below


@kernel
def count_signs(x, protected, enough):
    """Counts positive and negative entries of unprotected rows, until one of the counts exceeds `enough`."""
    positive, negative = 0, 0
    for i in range(x.shape[0]):
        if protected.size and protected[i]:
            continue
        for j in range(x.shape[1]):
            positive += x[i, j] > 0
            negative += x[i, j] < 0
        if max(positive, negative) > enough:
            break
    return positive, negative


@kernel
def round_rows(x, protected, scale, lo, hi, range_lo, range_hi, enough, y, passed):
    """y = clamp(round(x / scale), lo, hi) * scale, with lo and hi the code limits minus the zero point.

    `passed` marks the entries whose code needed no clamp. Protected rows are copied. Returns the numbers of a `Census`
    of the other rows against [range_lo, range_hi]: counting in the same pass costs little, in a pass of its own much.
    """
    above, below = round_flat(x.reshape(-1), scale, lo, hi, range_lo, range_hi, y.reshape(-1), passed.reshape(-1))
    rows = x.shape[0]
    for i in range(protected.size):
        if protected[i]:
            rows -= 1
            for j in range(x.shape[1]):
                value = x[i, j]
                y[i, j] = value
                passed[i, j] = np.uint8(1)
                above -= value > range_hi
                below -= value < range_lo
    positive, negative = count_signs(x, protected, enough)
    return rows * x.shape[1], above, below, positive, negative


@kernel
def mask_flat(gradient, passed, out):
    """`mask_gradient` on flat arrays."""
    for i in range(gradient.size):
        out[i] = gradient[i] if passed[i] else np.float32(0.0)


@kernel
def mask_gradient(gradient, passed, out):
    """out = gradient where `passed`, else 0."""
    mask_flat(gradient.reshape(-1), passed.reshape(-1), out.reshape(-1))


@reordering_kernel
def step_gradient(gradient, x, y, passed, clips, to_x):
    """Returns the sum of gradient * (y - x), without x where not `passed`. Writes the gradient to x into `to_x`: as
    `mask_gradient` if it `clips`, else unchanged.

    The compiler chooses the order of the sum within a row, because otherwise it would not be vectorised.
    """
    total = 0.0
    for i in range(x.shape[0]):
        row = np.float32(0.0)
        for j in range(x.shape[1]):
            g, inside = gradient[i, j], np.float32(passed[i, j])
            row += g * (y[i, j] - inside * x[i, j])
            to_x[i, j] = g * inside if clips else g
        total += np.float64(row)
    return total


@kernel
def entries_beyond(x, protected, end, upwards, out):
    """Writes the entries of unprotected rows above `end` (below it unless `upwards`) into `out`, whose size fits."""
    n = 0
    for i in range(x.shape[0]):
        if protected.size and protected[i]:
            continue
        for j in range(x.shape[1]):
            if (x[i, j] > end) if upwards else (x[i, j] < end):
                out[n] = x[i, j]
                n += 1


@kernel
def add_rows(first, columns, x, out):
    """Row i of out [M, W] becomes the sum of the rows of x that columns[first[i]:first[i + 1]] name, in that order."""
    for i in range(first.size - 1):
        for j in range(x.shape[1]):
            out[i, j] = 0
        for e in range(first[i], first[i + 1]):
            row = columns[e]
            for j in range(x.shape[1]):
                out[i, j] += x[row, j]


@kernel
def add_rounded_rows(first, columns, x, grids, out):
    """`add_rows` of rows that are first rounded onto grids [K, 3] (scale, lo, hi; see `round_rows`), one by one."""
    rounded = np.empty(x.shape[1], np.float32)
    for i in range(first.size - 1):
        for j in range(x.shape[1]):
            out[i, j] = 0
        for e in range(first[i], first[i + 1]):
            row = columns[e]
            for j in range(x.shape[1]):
                rounded[j] = x[row, j]
            for k in range(grids.shape[0]):
                scale, lo, hi = grids[k, 0], grids[k, 1], grids[k, 2]
                for j in range(x.shape[1]):
                    rounded[j] = min(max(np.rint(rounded[j] / scale), lo), hi) * scale
            for j in range(x.shape[1]):
                out[i, j] += rounded[j]


BLOCK = 128
"""Number of edges whose messages are formed, rounded and added at a time, while they are in the cache."""


# Below, rows are indexed in place: a view of a row would cost more than the row, since its references are counted.


@kernel
def sum_messages(
    h, coefficient, factor, sources, targets, protected, scale, lo, hi, range_lo, range_hi, enough, passed, out
):  # fmt: skip
    """Row i of out [N, H*C] gains the sum over edges e into i of factor_e * round(coefficient_e * h_source).

    Rounding, `passed` [E, H*C] and the census are those of `round_rows` on all messages, of which only a block
    exists at a time; `protected` [E] names edges. h [N, H*C]; coefficient, factor [E, H].
    """
    heads = coefficient.shape[1]
    width = h.shape[1] // heads
    messages, rounded = np.empty((BLOCK, h.shape[1]), np.float32), np.empty((BLOCK, h.shape[1]), np.float32)
    entries, above, below, positive, negative = 0, 0, 0, 0, 0
    for first in range(0, sources.size, BLOCK):
        number = min(BLOCK, sources.size - first)
        for n in range(number):
            source = sources[first + n]
            for k in range(heads):
                c, begin = coefficient[first + n, k], k * width
                for j in range(width):
                    messages[n, begin + j] = c * h[source, begin + j]
        here = slice(first, first + number)
        counts = round_rows(
            messages[:number],
            protected[here],
            scale,
            lo,
            hi,
            range_lo,
            range_hi,
            enough - max(positive, negative),
            rounded[:number],
            passed[here],
        )
        for n in range(number):
            target = targets[first + n]
            for k in range(heads):
                f, begin = factor[first + n, k], k * width
                for j in range(width):
                    out[target, begin + j] += f * rounded[n, begin + j]
        entries, above, below = entries + counts[0], above + counts[1], below + counts[2]
        positive, negative = positive + counts[3], negative + counts[4]
    return entries, above, below, positive, negative


@kernel
def message_gradients(gradient, weight, passed, edges, sources, targets, to_h):
    """The adjoint of `sum_messages` in h: row s of to_h [N, H*C] gains, over `edges` e out of s, weight_e *
    passed_e * gradient_target, with weight [E, H] = factor * coefficient.
    """
    heads = weight.shape[1]
    width = gradient.shape[1] // heads
    for p in range(edges.size):
        e = edges[p]
        source, target = sources[e], targets[e]
        for k in range(heads):
            w, begin = weight[e, k], k * width
            for j in range(width):
                to_h[source, begin + j] += w * gradient[target, begin + j] * np.float32(passed[e, begin + j])


@reordering_kernel
def coefficient_gradients(gradient, h, factor, passed, sources, targets, to_coefficient):
    """The adjoint in the coefficients [E, H]: factor_e * the sum over a head of passed_e * gradient_target * h_source.

    The compiler chooses the order of the sum, because otherwise it would not be vectorised.
    """
    heads = to_coefficient.shape[1]
    width = h.shape[1] // heads
    for e in range(sources.size):
        source, target = sources[e], targets[e]
        for k in range(heads):
            begin = k * width
            dot = np.float32(0.0)
            for j in range(width):
                product = gradient[target, begin + j] * h[source, begin + j]
                dot += product * np.float32(passed[e, begin + j])
            to_coefficient[e, k] = dot * factor[e, k]
