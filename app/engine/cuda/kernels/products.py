"""Products of rows of codes with a weight."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

from .common import code


@triton.jit
def product(
    x, weight, offsets, factors, multipliers, addends, out, rows, inner, columns, shift, zero, lowest, highest,
    ACC: tl.constexpr, SHIFTED: tl.constexpr, SCALED: tl.constexpr, RESULT: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """acc = offsets [M] + (x [N, K] - 128) (weight [M, K] + shift), on int8 -> out [N, M].

    RESULT: "acc" writes acc, "floats" acc * (multipliers [M] * factors [N]) + addends [M], "codes" their codes.
    SHIFTED: whether shift is not 0; SCALED: whether there are factors.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside, within = row < rows, column < columns
    acc = tl.zeros((ROWS, COLUMNS), ACC)
    totals = tl.zeros((ROWS,), ACC)
    for first in range(0, inner, INNER):
        k = first + tl.arange(0, INNER)
        open_ = k < inner
        stored = tl.load(x + row[:, None] * inner + k[None, :], mask=inside[:, None] & open_[None, :], other=128)
        left = (stored.to(tl.int32) - 128).to(tl.int8)
        right = tl.load(weight + column[None, :] * inner + k[:, None], mask=within[None, :] & open_[:, None], other=0)
        acc += tl.dot(left, right, out_dtype=tl.int32).to(ACC)
        if SHIFTED:
            totals += tl.sum(left.to(tl.int32), 1).to(ACC)
    if SHIFTED:
        acc += totals[:, None] * shift
    acc += tl.load(offsets + column, mask=within, other=0)[None, :]
    place = out + row[:, None] * columns + column[None, :]
    mask = inside[:, None] & within[None, :]
    if RESULT == "acc":
        tl.store(place, acc, mask=mask)
    else:
        factor = tl.load(multipliers + column, mask=within, other=0.0)[None, :]
        if SCALED:
            factor = factor * tl.load(factors + row, mask=inside, other=0.0)[:, None]
        value = acc.to(tl.float32) * factor + tl.load(addends + column, mask=within, other=0.0)[None, :]
        if RESULT == "codes":
            tl.store(place, code(value, zero, lowest, highest), mask=mask)
        else:
            tl.store(place, value, mask=mask)
