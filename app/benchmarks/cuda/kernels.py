"""Float aggregation on a GPU (Triton), which benchmarks compare with integer kernels; in no program."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl

from app.engine.cuda.kernels.common import parts_of, piece_of, pieces_of


@triton.jit
def finish(
    total, x, factors, bias, out, row, column, width, lowest, inside, KIND: tl.constexpr
):  # fmt: skip
    """Makes of the sum over the edges into a row what a layer gives, and writes it; see `aggregate`."""
    if KIND == "own_sum":
        total += tl.load(x + row * width + column, mask=inside, other=0.0).to(tl.float32) * tl.load(factors)
    if KIND == "factored_sum":
        total *= tl.load(factors + row)
    total += tl.load(bias + column, mask=inside, other=0.0)
    tl.store(out + row * width + column, tl.maximum(total, lowest).to(out.dtype.element_ty), mask=inside)


@triton.jit
def aggregate(
    x, factors, starts, rows, slots, sources, bias, out, parts, width, heads, lowest,
    KIND: tl.constexpr, SPLIT: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums x [N, H * C] over the edges into each row, in float32; then bias [H * C] and max(row, lowest) -> out.

    KIND: "edge_sum", with factors [E, H] of edges; "factored_sum", [N, 1] of sources and targets; "own_sum", with the
    row itself times factors [1, 1]. SPLIT, starts, rows, slots and parts: long rows in pieces, as the engine's.
    """
    row, slot, first, last = piece_of(starts, rows, slots, SPLIT)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < width
    head = column // (width // heads)
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in range(first, last, EDGES):
        edge = start + tl.arange(0, EDGES)
        inside = (edge < last)[:, None] & within[None, :]
        source = tl.load(sources + edge, mask=edge < last, other=0).to(tl.int64)
        sent = tl.load(x + source[:, None] * width + column[None, :], mask=inside, other=0.0).to(tl.float32)
        if KIND == "edge_sum":
            sent *= tl.load(factors + edge[:, None].to(tl.int64) * heads + head[None, :], mask=inside, other=0.0)
        if KIND == "factored_sum":
            sent *= tl.load(factors + source, mask=edge < last, other=0.0)[:, None]
        total += tl.sum(sent, 0)
    kept = tl.where(slot >= 0, width, 0)
    if SPLIT:
        tl.store(parts + slot * width + column, total, mask=column < kept)
    finish(total, x, factors, bias, out, row, column, width, lowest, column < width - kept, KIND)


@triton.jit
def join(
    x, factors, ends, rows, bias, out, parts, width, heads, lowest,
    KIND: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The same for row rows[l], of whose pieces the sums are parts [S, W] from ends[l] to ends[l + 1]."""
    row, first, last = pieces_of(ends, rows)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in range(first, last, EDGES):
        total += tl.sum(parts_of(parts, start, last, column, width, EDGES), 0)
    finish(total, x, factors, bias, out, row, column, width, lowest, column < width, KIND)
