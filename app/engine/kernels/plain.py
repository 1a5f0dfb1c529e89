"""Plain kernels of all ops on dense codes: loops that any CPU runs. See common.py for their conventions.

The kernels on vectors (maps, sums, attention, nibbles, products) compute the same codes under the same names.
Those of maps end with the loops here that begin at a number.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from .common import code, code_of_sum, kernel, part, place_by_fours, rounded


@part
def quantize_from(first, x, scale, zero, lowest, highest, out):
    """Does what `quantize` does, from number `first` on."""
    finite = True
    for i in range(first, x.size):
        finite &= np.isfinite(x[i])
        out[i] = code(x[i] / scale, zero, lowest, highest)
    return finite


@kernel
def quantize(x, scale, zero, lowest, highest, out):
    """Writes the codes of x [n], float32, to out [n]; returns whether all of x is finite."""
    return quantize_from(0, x, scale, zero, lowest, highest, out)


@part
def rescale_from(first, x, x_zero, multiplier, zero, lowest, highest, out):
    """Does what `rescale` does, from number `first` on."""
    for i in range(first, x.size):
        out[i] = code(np.float32(np.int32(x[i]) - np.int32(x_zero)) * multiplier, zero, lowest, highest)


@kernel
def rescale(x, x_zero, multiplier, zero, lowest, highest, out):
    """Moves codes x [n] to another grid: out = code(r * multiplier)."""
    rescale_from(0, x, x_zero, multiplier, zero, lowest, highest, out)


@part
def dequantize_from(first, x, x_zero, scale, out):
    """Does what `dequantize` does, from number `first` on."""
    for i in range(first, x.size):
        out[i] = np.float32(np.int32(x[i]) - np.int32(x_zero)) * scale


@kernel
def dequantize(x, x_zero, scale, out):
    """Writes the values of codes x [n] to out [n], float32."""
    dequantize_from(0, x, x_zero, scale, out)


@part
def lookup_from(first, codes, table, out):
    """Does what `lookup` does, from number `first` on."""
    for i in range(first, codes.size):
        out[i] = table[codes[i]]


@kernel
def lookup(codes, table, out):
    """Writes table[codes] to out [n]; the table holds codes or float32."""
    lookup_from(0, codes, table, out)


@kernel
def linear(accumulator, x, x_zero, weight, factors, multipliers, addend, zero, lowest, highest, out):
    """Multiplies codes x [N, K] by r_w [K, M], int16 -> out [N, M]; multipliers and addend [M], factors [N] of rows."""
    width = weight.shape[1]
    acc = np.empty(width, accumulator)
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
    """Moves codes x [n, W] to another grid, with a multiplier and an addend [W] for every column -> out [n, W]."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            r = np.float32(np.int32(x[i, j]) - np.int32(x_zero))
            out[i, j] = code(r * multipliers[j] + addend[j], zero, lowest, highest)


@kernel
def add_heads(accumulator, x, x_zero, multipliers, addend, zero, lowest, highest, out):
    """Adds up the heads of codes x [n, H * C], with a multiplier and an addend [C] for every column -> out [n, C]."""
    width = out.shape[1]
    heads, acc = x.shape[1] // width, np.empty(width, accumulator)
    for i in range(x.shape[0]):
        acc[:] = 0
        for h in range(heads):
            part = x[i, h * width : (h + 1) * width]
            for j in range(width):
                acc[j] += np.int32(part[j])
        for j in range(width):
            out[i, j] = code(np.float32(acc[j] - heads * x_zero) * multipliers[j] + addend[j], zero, lowest, highest)


@part
def add_from(first, a, b, a_zero, b_zero, a_multiplier, b_multiplier, zero, lowest, highest, out):
    """Does what `add` does, from number `first` on."""
    for i in range(first, a.size):
        left = np.float32(np.int32(a[i]) - np.int32(a_zero)) * a_multiplier
        right = np.float32(np.int32(b[i]) - np.int32(b_zero)) * b_multiplier
        out[i] = code(left + right, zero, lowest, highest)


@kernel
def add(a, b, a_zero, b_zero, a_multiplier, b_multiplier, zero, lowest, highest, out):
    """Adds codes a and b [n], each times its multiplier -> out [n]."""
    add_from(0, a, b, a_zero, b_zero, a_multiplier, b_multiplier, zero, lowest, highest, out)


@kernel
def sum_rows(accumulator, x, x_zero, indptr, sources, multiplier, columns, factors, zero, lowest, highest, out):
    """Sums rows of codes x [N, W] over the edges into each node -> out [N, W]; factors [N]: of every multiplier."""
    width = x.shape[1]
    acc = np.empty(width, accumulator)
    for i in range(out.shape[0]):
        acc[:] = 0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            source = sources[e]
            for j in range(width):
                acc[j] += np.int32(x[source, j])
        shift = (indptr[i + 1] - indptr[i]) * x_zero
        for j in range(width):
            at = place_by_fours(j, columns)
            out[i, j] = code_of_sum(acc[j] - shift, multiplier, columns, factors[i], at, zero, lowest, highest)


@kernel
def sum_nibbles(accumulator, x, x_zero, indptr, sources, multiplier, columns, factors, zero, lowest, highest, out):
    """Does the same as `sum_rows` for packed rows x [N, W / 2]."""
    half = x.shape[1]
    acc = np.empty(2 * half, accumulator)
    for i in range(out.shape[0]):
        acc[:] = 0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            for j in range(half):
                byte = x[sources[e], j]
                acc[j] += np.int32(byte & 15)
                acc[half + j] += np.int32(byte >> 4)
        shift = (indptr[i + 1] - indptr[i]) * x_zero
        for j in range(2 * half):
            out[i, j] = code_of_sum(acc[j] - shift, multiplier, columns, factors[i], j, zero, lowest, highest)


@kernel
def sum_nibble_messages(
    accumulator, x, tables, weights, indptr, sources, m_lowest, multiplier, columns, zero, lowest, highest, out
):
    """Does the same as `weighted_sum` for packed rows x [N, W / 2] and coded weights [E].

    tables [w, c]: the message of weight w and code c minus the smallest message; m_lowest: the smallest message minus
    the zero point of messages.
    """
    half = x.shape[1]
    acc = np.empty(2 * half, accumulator)
    for i in range(out.shape[0]):
        acc[:] = 0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            table = tables[weights[e]]
            for j in range(half):
                byte = x[sources[e], j]
                acc[j] += np.int32(table[byte & 15])
                acc[half + j] += np.int32(table[byte >> 4])
        shift = (indptr[i + 1] - indptr[i]) * m_lowest
        for j in range(2 * half):
            out[i, j] = code_of_sum(acc[j] + shift, multiplier, columns, np.float32(1), j, zero, lowest, highest)


@kernel
def pack(codes, out):
    """Packs codes [n, W] into bytes [n, W / 2]."""
    half = out.shape[1]
    for i in range(out.shape[0]):
        low, high, row = codes[i, :half], codes[i, half:], out[i]
        for j in range(half):
            row[j] = low[j] | (high[j] << np.uint8(4))


@kernel
def unpack(nibbles, out):
    """Unpacks bytes [n, W / 2] into codes [n, W]."""
    half = nibbles.shape[1]
    for i in range(out.shape[0]):
        low, high, row = out[i, :half], out[i, half:], nibbles[i]
        for j in range(half):
            low[j] = row[j] & np.uint8(15)
            high[j] = row[j] >> np.uint8(4)


@kernel
def messages(x, x_zero, factors, scale, sources, zero, lowest, highest):
    """Returns the message codes of every edge [E, H * C]: r of the source's row * factors [E, H] * `scale`."""
    heads, width = factors.shape[1], x.shape[1]
    out = np.empty((sources.size, width), np.uint8)
    for e in range(sources.size):
        for j in range(width):
            r = np.float32(np.int32(x[sources[e], j]) - np.int32(x_zero))
            out[e, j] = code(r * (factors[e, j // (width // heads)] * scale), zero, lowest, highest)
    return out


@kernel
def weighted_sum(
    accumulator, x, x_zero, factors, scale, indptr, sources, m_lowest, m_highest,
    multiplier, columns, zero, lowest, highest, out,
):  # fmt: skip
    """Sums the messages of `messages` over the edges into each node, without storing them -> out [N, H * C]."""
    width, heads = x.shape[1], factors.shape[1]
    channels = width // heads
    acc = np.empty(width, accumulator)
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
            out[i, j] = code_of_sum(acc[j], multiplier, columns, np.float32(1), j, zero, lowest, highest)


@kernel
def project(x, x_zero, vectors, out):
    """Multiplies codes x [N, H * C] by attention vectors r [2, H, C], int16.

    Writes the scores of every node as a source and as a target to out [N, 2 * H], int32 or int64.
    """
    _, heads, channels = vectors.shape
    for i in range(x.shape[0]):
        for h in range(heads):
            as_source, as_target = np.int64(0), np.int64(0)
            for c in range(channels):
                r = np.int32(x[i, h * channels + c]) - np.int32(x_zero)
                as_source += r * np.int32(vectors[0, h, c])
                as_target += r * np.int32(vectors[1, h, c])
            out[i, h], out[i, heads + h] = as_source, as_target


@kernel
def attention_logits(scores, own, indptr, sources, multiplier, zero, lowest, highest, out):
    """Computes the attention logits of every edge -> out [E, H].

    A logit is the sum of the source's score, from the first H columns of `scores` [N, 2 * H], and the target's, from
    the last H columns of `own`, the scores of the block's rows.
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
    """Computes the softmax of logits [E, H] over the edges into each node -> out [E, H].

    exponentials [c, d]: exp(value of code d - value of code c), float32; the values must grow with the codes.
    """
    for i in range(indptr.size - 1):
        begin, end = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        for h in range(logits.shape[1]):
            best, total = np.uint8(0), np.float32(0)
            for e in range(begin, end):
                best = logits[e, h] if logits[e, h] > best else best
            for e in range(begin, end):
                power = exponentials[best, logits[e, h]]
                out[e, h] = power
                total += power
            total += np.float32(1e-16)
            for e in range(begin, end):
                out[e, h] /= total


@kernel
def accumulate(x, x_zero, multiplier, total):
    """Adds r * multiplier of codes x [n] to total [n], float32."""
    for i in range(x.size):
        total[i] += np.float32(np.int32(x[i]) - np.int32(x_zero)) * multiplier
