"""Compiled kernels on dense codes.

In here a code is stored as its offset from the smallest code of its grid, always uint8, whatever the bits
and the sign: one compiled version of each kernel serves every grid, and a table is indexed by the code
itself. `zero` is the offset of a grid's zero point; `lowest` and `highest` are its smallest and largest code
minus the zero point, in float32. Accumulators are int32. Kernels share nothing but their arguments: any
number of threads may call them. They are given the rows of a block: `indptr` is a piece of that of a CSR, the arrays of
edges begin with its first edge, and only what is read through `sources` is whole.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np
from numba import njit

kernel = njit(nogil=True, cache=True, error_model="numpy")
"""No fastmath: it would contract acc * multiplier + addend into one rounding, and change codes."""

part = njit(nogil=True, error_model="numpy", forceinline=True)
"""A piece of a kernel, written into it: vectors then stay in registers from piece to piece. Cached with the kernel."""


@kernel
def rounded(value, lowest, highest):
    """The epilogue's r = c - z: round half to even, clamp. Numbers are whole, so c = r + zero is exact."""
    return min(max(np.rint(value), lowest), highest)


@kernel
def code(value, zero, lowest, highest):
    """The code, as stored."""
    return np.uint8(np.int32(rounded(value, lowest, highest)) + np.int32(zero))


@kernel
def group_by_target(sources, targets, num_nodes):
    """CSR by target, stable: indptr [N + 1] int64 and the sources in that order [E] int32."""
    indptr = np.zeros(num_nodes + 1, np.int64)
    for target in targets:
        indptr[target + 1] += 1
    for i in range(num_nodes):
        indptr[i + 1] += indptr[i]
    position = indptr[:-1].copy()
    grouped = np.empty(sources.size, np.int32)
    for e in range(sources.size):
        grouped[position[targets[e]]] = sources[e]
        position[targets[e]] += 1
    return indptr, grouped


@kernel
def with_loops(indptr, sources):
    """A CSR by target with the self-loops of every node replaced by one, its last edge."""
    nodes, position = indptr.size - 1, 0
    looped, ends = np.empty(sources.size + nodes, np.int32), np.zeros(nodes + 1, np.int64)
    for i in range(nodes):
        for e in range(indptr[i], indptr[i + 1]):
            if sources[e] != i:
                looped[position] = sources[e]
                position += 1
        looped[position] = i
        position += 1
        ends[i + 1] = position
    return ends, looped[:position]


@kernel
def quantize(x, scale, zero, lowest, highest, out):
    """Codes of x [n], float32. Whether all of x is finite."""
    finite = True
    for i in range(x.size):
        finite &= np.isfinite(x[i])
        out[i] = code(x[i] / scale, zero, lowest, highest)
    return finite


@kernel
def rescale(x, x_zero, multiplier, zero, lowest, highest, out):
    """Codes [n] times a multiplier -> codes [n]."""
    for i in range(x.size):
        out[i] = code(np.float32(np.int32(x[i]) - np.int32(x_zero)) * multiplier, zero, lowest, highest)


@kernel
def dequantize(x, x_zero, scale, out):
    """Codes [n] -> float32 [n]."""
    for i in range(x.size):
        out[i] = np.float32(np.int32(x[i]) - np.int32(x_zero)) * scale


@kernel
def lookup(codes, table, out):
    """table[codes] [n]: codes or float32."""
    for i in range(codes.size):
        out[i] = table[codes[i]]


@kernel
def linear(x, x_zero, weight, factors, multipliers, addend, zero, lowest, highest, out):
    """x [N, K], weight r_w [K, M] int16, one factor a row [N], multipliers and addend [M] -> out [N, M]."""
    width = weight.shape[1]
    acc = np.empty(width, np.int32)
    for i in range(x.shape[0]):
        acc[:] = 0
        for k in range(x.shape[1]):
            r = np.int32(x[i, k]) - np.int32(x_zero)
            for j in range(width):
                acc[j] += r * np.int32(weight[k, j])
        for j in range(width):
            out[i, j] = code(np.float32(acc[j]) * (multipliers[j] * factors[i]) + addend[j], zero, lowest, highest)


@kernel
def requantize(x, x_zero, multipliers, addend, zero, lowest, highest, out):
    """x [n, W], multipliers and addend [W] -> [n, W]."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            r = np.float32(np.int32(x[i, j]) - np.int32(x_zero))
            out[i, j] = code(r * multipliers[j] + addend[j], zero, lowest, highest)


@kernel
def add(a, b, a_zero, b_zero, a_multiplier, b_multiplier, zero, lowest, highest, out):
    """a and b [n] -> [n]."""
    for i in range(a.size):
        left = np.float32(np.int32(a[i]) - np.int32(a_zero)) * a_multiplier
        right = np.float32(np.int32(b[i]) - np.int32(b_zero)) * b_multiplier
        out[i] = code(left + right, zero, lowest, highest)


@kernel
def sum_rows(x, x_zero, indptr, sources, multipliers, zero, lowest, highest, out):
    """Rows of x [N, W] summed over the edges into each node, one multiplier a row [N] -> out [N, W]."""
    width = x.shape[1]
    acc = np.empty(width, np.int32)
    for i in range(out.shape[0]):
        acc[:] = 0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            source = sources[e]
            for j in range(width):
                acc[j] += np.int32(x[source, j])
        shift = np.int32((indptr[i + 1] - indptr[i]) * x_zero)
        for j in range(width):
            out[i, j] = code(np.float32(acc[j] - shift) * multipliers[i], zero, lowest, highest)


@kernel
def sum_nibbles(x, x_zero, indptr, sources, multipliers, zero, lowest, highest, out):
    """`sum_rows` of packed rows x [N, W / 2]."""
    half = x.shape[1]
    acc = np.empty(2 * half, np.int32)
    for i in range(out.shape[0]):
        acc[:] = 0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            for j in range(half):
                byte = x[sources[e], j]
                acc[j] += np.int32(byte & 15)
                acc[half + j] += np.int32(byte >> 4)
        shift = np.int32((indptr[i + 1] - indptr[i]) * x_zero)
        for j in range(2 * half):
            out[i, j] = code(np.float32(acc[j] - shift) * multipliers[i], zero, lowest, highest)


@kernel
def sum_nibble_messages(x, tables, weights, indptr, sources, m_lowest, multiplier, zero, lowest, highest, out):
    """`weighted_sum` of packed rows x [N, W / 2] and codes of weights [E].

    tables [w, c]: the message of weight w and code c minus the smallest message, which is m_lowest from its zero point.
    """
    half = x.shape[1]
    acc = np.empty(2 * half, np.int32)
    for i in range(out.shape[0]):
        acc[:] = 0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            table = tables[weights[e]]
            for j in range(half):
                byte = x[sources[e], j]
                acc[j] += np.int32(table[byte & 15])
                acc[half + j] += np.int32(table[byte >> 4])
        shift = np.int32((indptr[i + 1] - indptr[i]) * m_lowest)
        for j in range(2 * half):
            out[i, j] = code(np.float32(acc[j] + shift) * multiplier, zero, lowest, highest)


@kernel
def pack(codes, out):
    """Codes [n, W] -> bytes [n, W / 2]."""
    half = out.shape[1]
    for i in range(out.shape[0]):
        low, high, row = codes[i, :half], codes[i, half:], out[i]
        for j in range(half):
            row[j] = low[j] | (high[j] << np.uint8(4))


@kernel
def unpack(nibbles, out):
    """Bytes [n, W / 2] -> codes [n, W]."""
    half = nibbles.shape[1]
    for i in range(out.shape[0]):
        low, high, row = out[i, :half], out[i, half:], nibbles[i]
        for j in range(half):
            low[j] = row[j] & np.uint8(15)
            high[j] = row[j] >> np.uint8(4)


@kernel
def messages(x, x_zero, factors, scale, sources, zero, lowest, highest):
    """Message codes of every edge [E, H * C]: r of the source's row times its head's factor [E, H] times `scale`."""
    heads, width = factors.shape[1], x.shape[1]
    out = np.empty((sources.size, width), np.uint8)
    for e in range(sources.size):
        for j in range(width):
            r = np.float32(np.int32(x[sources[e], j]) - np.int32(x_zero))
            out[e, j] = code(r * (factors[e, j // (width // heads)] * scale), zero, lowest, highest)
    return out


@kernel
def weighted_sum(
    x, x_zero, factors, scale, indptr, sources, m_lowest, m_highest, multiplier, zero, lowest, highest, out
):
    """The messages of `messages`, never stored, summed over the edges into each node -> out [N, H * C]."""
    width, heads = x.shape[1], factors.shape[1]
    channels = width // heads
    acc = np.empty(width, np.int32)
    for i in range(out.shape[0]):
        acc[:] = 0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            row = x[sources[e]]
            for h in range(heads):
                factor = factors[e, h] * scale
                part = row[h * channels : (h + 1) * channels]  # slices from 0, or the loop is not vectorised
                total = acc[h * channels : (h + 1) * channels]
                for j in range(channels):
                    r = np.float32(np.int32(part[j]) - np.int32(x_zero))
                    total[j] += np.int32(rounded(r * factor, m_lowest, m_highest))
        for j in range(width):
            out[i, j] = code(np.float32(acc[j]) * multiplier, zero, lowest, highest)


@kernel
def project(x, x_zero, vectors, out):
    """x [N, H * C] times the attention vectors r [2, H, C] int16 -> scores as source and as target [N, 2 * H] int32."""
    _, heads, channels = vectors.shape
    for i in range(x.shape[0]):
        for h in range(heads):
            as_source, as_target = np.int32(0), np.int32(0)
            for c in range(channels):
                r = np.int32(x[i, h * channels + c]) - np.int32(x_zero)
                as_source += r * np.int32(vectors[0, h, c])
                as_target += r * np.int32(vectors[1, h, c])
            out[i, h], out[i, heads + h] = as_source, as_target


@kernel
def attention_logits(scores, own, indptr, sources, multiplier, zero, lowest, highest, out):
    """A logit for every edge -> out [E, H].

    The sum of its source's score, one of the first H of `scores` [N, 2 * H], and its target's, one of the last H of
    `own`, the scores of the block's rows.
    """
    heads = out.shape[1]
    for i in range(own.shape[0]):
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            source = sources[e]
            for h in range(heads):
                acc = scores[source, h] + own[i, heads + h]
                out[e, h] = code(np.float32(acc) * multiplier, zero, lowest, highest)


@kernel
def softmax(logits, exponentials, indptr, out):
    """Softmax of logits [E, H] over the edges into each node -> out [E, H].

    exponentials [c, d]: exp(value of code d - value of code c), float32; values must grow with their codes.
    """
    heads = logits.shape[1]
    best, total = np.empty(heads, np.uint8), np.empty(heads, np.float32)
    for i in range(indptr.size - 1):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        best[:] = 0
        total[:] = np.float32(0)
        for e in range(begin, end):
            row = logits[e]
            for h in range(heads):
                best[h] = max(best[h], row[h])
        for e in range(begin, end):
            for h in range(heads):
                power = exponentials[best[h], logits[e, h]]
                out[e, h] = power
                total[h] += power
        total += np.float32(1e-16)
        for e in range(begin, end):
            row = out[e]
            for h in range(heads):
                row[h] /= total[h]


@kernel
def divide_by_sum(values, indptr, first, last):
    """Divides values [E, H], in place, by their sum over the edges into the same node plus 1e-16."""
    heads = values.shape[1]
    total = np.empty(heads, np.float32)
    for i in range(first, last):
        total[:] = np.float32(0)
        for e in range(indptr[i], indptr[i + 1]):
            for h in range(heads):
                total[h] += values[e, h]
        for e in range(indptr[i], indptr[i + 1]):
            for h in range(heads):
                values[e, h] /= total[h] + np.float32(1e-16)


@kernel
def accumulate(x, x_zero, multiplier, total):
    """Adds r * multiplier to total [n], float32."""
    for i in range(x.size):
        total[i] += np.float32(np.int32(x[i]) - np.int32(x_zero)) * multiplier
