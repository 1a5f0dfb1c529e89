"""Float aggregation on a GPU (Triton), which benchmarks compare with integer kernels; in no program."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
import triton
import triton.language as tl


@triton.jit
def aggregate(
    x, factors, indptr, sources, bias, out, width, heads, lowest,
    KIND: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums x [N, H * C] over the edges into each row, in float32; then bias [H * C] and max(row, lowest) -> out.

    KIND: "edge_sum", with factors [E, H] of edges; "factored_sum", [N, 1] of sources and targets; "own_sum", with the
    row itself times factors [1, 1].
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < width
    head = column // (width // heads)
    first, last = tl.load(indptr + row), tl.load(indptr + row + 1)
    total = tl.zeros((COLUMNS,), tl.float32)
    if KIND == "own_sum":
        total += tl.load(x + row * width + column, mask=within, other=0.0).to(tl.float32) * tl.load(factors)
    for start in range(first, last, EDGES):
        edge = start + tl.arange(0, EDGES)
        inside = (edge < last)[:, None] & within[None, :]
        source = tl.load(sources + edge, mask=edge < last, other=0).to(tl.int64)
        rows = tl.load(x + source[:, None] * width + column[None, :], mask=inside, other=0.0).to(tl.float32)
        if KIND == "edge_sum":
            rows *= tl.load(factors + edge[:, None].to(tl.int64) * heads + head[None, :], mask=inside, other=0.0)
        if KIND == "factored_sum":
            rows *= tl.load(factors + source, mask=edge < last, other=0.0)[:, None]
        total += tl.sum(rows, 0)
    if KIND == "factored_sum":
        total *= tl.load(factors + row)
    total += tl.load(bias + column, mask=within, other=0.0)
    tl.store(out + row * width + column, tl.maximum(total, lowest).to(out.dtype.element_ty), mask=within)
