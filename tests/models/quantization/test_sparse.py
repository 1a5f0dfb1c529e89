"""Sparse products and their gradients against dense ones."""

from __future__ import annotations

import pytest
import torch

from models.quantization.fused import gpu
from models.quantization.sparse import (
    Pattern,
    SparseRows,
    order_with_loops,
    row_pointers,
    sparse_matmul,
    stable_order,
    sum_rows,
)
from tests.fake_gpu import GPU, fake_gpu, some_gpu

SHAPES = [(7, 5, 3, 0.4), (20, 30, 4, 0.1), (1, 6, 2, 0.9), (5, 4, 3, 0.0), (0, 4, 3, 0.5), (6, 1, 1, 0.5)]

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")


def draw(rows, columns, density, dtype=torch.float64):
    dense = torch.randn(rows, columns, dtype=dtype) * (torch.rand(rows, columns) < density)
    csr = dense.to_sparse_csr()
    return dense, Pattern(csr.crow_indices(), csr.col_indices(), (rows, columns)), csr.values().clone()


@pytest.mark.parametrize(("rows", "columns", "width", "density"), SHAPES)
def test_product_and_gradients_equal_dense_ones(rows, columns, width, density):
    dense, pattern, values = draw(rows, columns, density)
    other = torch.randn(columns, width, dtype=torch.float64)
    upstream = torch.randn(rows, width, dtype=torch.float64)
    leaves = [t.clone().requires_grad_() for t in (dense, other, values, other)]
    expected = leaves[0] @ leaves[1]
    got = sparse_matmul(pattern, leaves[2], leaves[3])
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    expected.backward(upstream)
    got.backward(upstream)
    stored = leaves[0].grad[pattern.rows, pattern.cols.long()]
    torch.testing.assert_close(leaves[2].grad, stored, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(leaves[3].grad, leaves[1].grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_16_bits_are_multiplied_in_float32(dtype):
    _, pattern, values = draw(20, 30, 0.2, torch.float32)
    other = torch.randn(30, 4).to(dtype)
    got = pattern.product(values, other)
    assert got.dtype == dtype
    assert torch.equal(got, pattern.product(values, other.float()).to(dtype))
    assert torch.equal(pattern.add_up(other), pattern.product(torch.ones_like(values), other))


def test_products_are_of_float32_under_autocast_too():
    _, pattern, values = draw(20, 30, 0.2, torch.float32)
    other = torch.randn(30, 4)
    expected = pattern.product(values, other)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pattern.product(values, other), expected)
    with fake_gpu():
        there = Pattern(pattern.rowptr.to(GPU), pattern.cols.to(GPU), pattern.shape)
        with torch.autocast("cuda", torch.bfloat16):
            assert torch.equal(there.product(values.to(GPU), other.to(GPU)).cpu(), expected)


def added_in_order(pattern, dense):
    """Every row's named rows, added one after the other, in the dtype of `dense`."""
    out = torch.zeros(pattern.shape[0], dense.shape[1], dtype=dense.dtype)
    for row, column in zip(pattern.rows.tolist(), pattern.cols.tolist(), strict=True):
        out[row] += dense[column]
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "columns", "width", "density"), [*SHAPES, (300, 200, 64, 0.2)])
def test_rows_are_added_in_their_order_to_the_last_bit(rows, columns, width, density, dtype):
    _, pattern, _ = draw(rows, columns, density)
    other, upstream = (
        torch.randn(columns, width, dtype=dtype, requires_grad=True),
        torch.randn(width, rows, dtype=dtype).t(),
    )
    got = sum_rows(pattern, other)
    got.backward(upstream)
    assert torch.equal(got, added_in_order(pattern, other.detach()))
    assert torch.equal(other.grad, added_in_order(pattern.transposed[0], upstream))


@pytest.fixture
def kernels(monkeypatch):
    """The kernels of a GPU: compiled where there is one, else as Triton's interpreter runs them."""
    pytest.importorskip("triton", reason="triton is not installed: no wheel for this machine")
    monkeypatch.setattr(gpu, "compiles", lambda: True)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(("rows", "columns", "width", "density"), [*SHAPES, (9, 40, 130, 0.5)])
def test_a_gpu_adds_rows_in_the_order_of_the_host(rows, columns, width, density):
    """Forward and backward, to the last bit; a column of a row holds -0.0 alone."""
    _, pattern, _ = draw(rows, columns, density)
    other, upstream = torch.randn(columns, width), torch.randn(width, rows).t()
    other[:, 0] = -0.0
    with some_gpu():
        there = Pattern(pattern.rowptr.to(GPU), pattern.cols.to(GPU), pattern.shape)
        sent = other.to(GPU).requires_grad_()
        got = sum_rows(there, sent)
        got.backward(upstream.to(GPU))
        assert torch.equal(got.cpu(), added_in_order(pattern, other))
        assert torch.equal(sent.grad.cpu(), added_in_order(pattern.transposed[0], upstream))


@pytest.mark.usefixtures("kernels")
@pytest.mark.filterwarnings("ignore:invalid value encountered in multiply")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_adds_products_in_the_order_of_their_entries(dtype):
    """Each product and each sum is rounded by itself, in float32; an infinite value reaches its own row alone."""
    _, pattern, values = draw(20, 30, 0.4, torch.float32)
    other = torch.randn(30, 5).to(dtype)
    values[-1] = torch.inf
    expected = torch.zeros(20, 5)
    for row, column, value in zip(pattern.rows.tolist(), pattern.cols.tolist(), values, strict=True):
        expected[row] += value * other[column].float()
    with some_gpu():
        there = Pattern(pattern.rowptr.to(GPU), pattern.cols.to(GPU), pattern.shape)
        got = there.product(values.to(GPU), other.to(GPU)).cpu()
    assert got.dtype == dtype
    assert torch.equal(got, expected.to(dtype))


@pytest.mark.parametrize(("rows", "columns", "width", "density"), SHAPES)
def test_sums_of_rows_are_the_product_with_ones(rows, columns, width, density):
    _, pattern, values = draw(rows, columns, density)
    other = torch.randn(columns, width, dtype=torch.float64)
    expected = sparse_matmul(pattern, torch.ones(len(values), dtype=torch.float64), other)
    torch.testing.assert_close(sum_rows(pattern, other), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("learned", ["values", "dense", "both"])
def test_gradients_equal_finite_differences(learned):
    _, pattern, values = draw(9, 6, 0.4)
    other = torch.randn(6, 3, dtype=torch.float64)
    values.requires_grad_(learned != "dense")
    other.requires_grad_(learned != "values")
    assert torch.autograd.gradcheck(lambda v, d: sparse_matmul(pattern, v, d), (values, other))


def test_a_transposed_view_may_be_multiplied():
    dense, pattern, values = draw(9, 6, 0.4)
    other = torch.randn(3, 6, dtype=torch.float64)
    torch.testing.assert_close(sparse_matmul(pattern, values, other.T), dense @ other.T)


@pytest.mark.parametrize(("rows", "columns", "width", "density"), SHAPES)
def test_the_transpose_knows_where_its_entries_came_from(rows, columns, width, density):
    dense, pattern, values = draw(rows, columns, density)
    transposed, order = pattern.transposed
    assert transposed.shape == (columns, rows)
    assert torch.equal(transposed.matrix(values[order]).to_dense(), dense.T)
    assert torch.equal(dense[pattern.rows, pattern.cols.long()], values)


def test_row_pointers_count_rows_without_entries():
    assert row_pointers(torch.tensor([0, 0, 2, 2, 2]), 5).tolist() == [0, 2, 2, 5, 5, 5]
    assert row_pointers(torch.empty(0), 2).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("rows", "columns", "width", "density"), SHAPES)
def test_sparse_rows_stand_for_the_matrix_they_were_made_from(rows, columns, width, density):
    dense, *_ = draw(rows, columns, density, torch.float32)
    x = SparseRows.from_tensor(dense.to_sparse_csr())
    assert x.shape == (rows, columns)
    assert torch.equal(x.to_dense(), dense)
    doubled = x.with_values(2 * x.values)
    assert doubled.pattern is x.pattern
    assert torch.equal(doubled.to_dense(), 2 * dense)
    weight = torch.randn(columns, width)
    torch.testing.assert_close(x.matmul(weight), dense @ weight)


@pytest.mark.parametrize("kind", ["random", "ascending", "empty"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_stable_order_is_that_of_a_stable_sort(kind, dtype):
    index = {"random": torch.randint(9, (500,)), "ascending": torch.arange(500) // 60, "empty": torch.empty(0)}[kind]
    index = index.to(dtype)
    assert torch.equal(stable_order(index, 9), torch.argsort(index, stable=True))


@pytest.mark.parametrize("edges", [0, 60])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_loops_take_their_places_as_in_a_stable_sort(edges, dtype):
    target = torch.randint(1, 9, (edges,), dtype=dtype).sort().values  # node 0 has no edges
    source = torch.randint(9, (edges,), dtype=dtype)
    others = (source != target).nonzero().view(-1)
    appended = torch.cat([others, edges + torch.arange(10)])
    expected = appended[torch.argsort(torch.cat([target[others], torch.arange(10)]), stable=True)]
    assert torch.equal(order_with_loops(source, target, 10), expected)
    with fake_gpu():
        assert torch.equal(order_with_loops(source.to(GPU), target.to(GPU), 10).cpu(), expected)


@pytest.mark.parametrize(
    ("entries", "shape", "named"),
    [(2**31, (1, 1), "stored entries"), (1, (2**31, 1), "rows"), (1, (1, 2**31), "columns")],
)
def test_what_int32_cannot_number_is_refused(entries, shape, named):
    """The entries are one number, expanded, which takes no memory."""
    cols = torch.zeros(1, dtype=torch.long).expand(entries)
    with pytest.raises(ValueError, match=f"a sparse matrix with 2147483648 {named}: at most 2147483647 are possible"):
        Pattern(torch.tensor([0, 1]), cols, shape)
