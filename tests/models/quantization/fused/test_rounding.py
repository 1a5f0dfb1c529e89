"""Fake quantization: fused kernel against the formulas, and what gradients pass."""

from __future__ import annotations

import pytest
import torch

from app.engine.program.grid import Grid, code_limits, dequantize, qparams, quantize
from models.quantization.fused.rounding import TrackedRange, fake_quantize, round_onto

GRIDS = [(bits, signed) for bits in range(2, 9) for signed in (True, False)]
SHAPES = [(), (7,), (6, 5), (4, 3, 2), (0,), (0, 5), (5, 0), (0, 3, 2), (3, 0, 2)]


def hard_values(scale: float) -> torch.Tensor:
    """Ties, near ties, huge and tiny values, both zeros, and random ones: [40, 100]."""
    ties = (torch.arange(-600, 600) + 0.5) * scale
    near = torch.cat([torch.nextafter(ties, torch.tensor(float("inf"))), torch.nextafter(ties, torch.tensor(-1e9))])
    special = torch.tensor([0.0, -0.0, 3.4e38, -3.4e38, 1e30, -1e30, 1e-45, -1e-45, 2.0**24, 2.0**24 + 2])
    x = torch.cat([ties, near, special])
    return torch.cat([x, torch.randn(4000 - x.numel()) * 50 * scale]).view(40, 100)


def formula(x, scale, zero_point, qmin, qmax):
    return dequantize(quantize(x, scale, zero_point, qmin, qmax), scale, zero_point)


@pytest.mark.parametrize(("bits", "signed"), GRIDS)
@pytest.mark.parametrize("scale", [0.25, 0.1, 3.7e-4])
def test_fused_kernel_equals_the_formula_bit_for_bit(bits, signed, scale):
    scale = float(torch.tensor(scale))
    qmin, qmax = code_limits(bits, signed=signed)
    x = hard_values(scale)
    protect = torch.rand(40) < 0.3
    for zero_point in {qmin, qmin + 1, (qmin + qmax) // 2, qmax}:
        expected = formula(x, scale, zero_point, qmin, qmax)
        assert torch.equal(fake_quantize(x, Grid(scale, zero_point, bits, signed)), expected)
        got = fake_quantize(x, Grid(scale, zero_point, bits, signed), protect=protect)
        assert torch.equal(got, torch.where(protect[:, None], x, expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(shape, dtype):
    x = torch.randn(shape, dtype=dtype).requires_grad_()
    y = fake_quantize(x, Grid(0.125, 3, 4, True))
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert torch.equal(y, formula(x.detach(), 0.125, 3, -8, 7))
    y.sum().backward()
    assert x.grad.shape == x.shape
    if shape:
        protect = torch.ones(shape[0], dtype=torch.bool)
        assert torch.equal(fake_quantize(x, Grid(0.125, 3, 4, True), protect=protect), x)


def test_memory_layout_does_not_matter():
    x = torch.randn(30, 20)
    protect = torch.rand(20) < 0.5
    expected = torch.where(protect[:, None], x.T, formula(x.T, 0.1, 0, -8, 7))
    assert torch.equal(fake_quantize(x.T, Grid(0.1, 0, 4, True), protect=protect), expected)
    y = fake_quantize(x.requires_grad_(), Grid(0.1, 0, 4, True))
    upstream = torch.randn(20, 30).T
    (gradient,) = torch.autograd.grad(y, x, upstream)
    assert torch.equal(gradient, upstream * ((x / 0.1).round().clamp(-8, 7) == (x / 0.1).round()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("bits", "signed"), GRIDS)
def test_clipped_gradient_is_one_exactly_where_the_unclamped_code_is_a_code(bits, signed, dtype):
    qmin, qmax = code_limits(bits, signed=signed)
    codes = torch.arange(qmin - 5, qmax + 6)
    for zero_point in {qmin, qmin + 1, (qmin + qmax) // 2, qmax}:
        for offset in (-0.49, 0.0, 0.49):
            x = ((codes - zero_point + offset) * 0.125).to(dtype).requires_grad_()
            fake_quantize(x, Grid(0.125, zero_point, bits, signed), "gc").sum().backward()
            assert torch.equal(x.grad, ((codes >= qmin) & (codes <= qmax)).to(dtype))


def test_clipped_gradient_at_ties_of_the_ends():
    """127.5 rounds to 128, beyond the last code; 126.5 to 126; -128.5 to -128, the first code; -129.5 beyond."""
    x = torch.tensor([127.5, 126.5, -128.5, -129.5]).requires_grad_()
    fake_quantize(x, Grid(1.0, 0, 8, True), "gc").sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gradient", ["ste", "gc"])
def test_gradients_of_rows_in_and_outside_the_mask(gradient, dtype):
    x = torch.tensor([[0.3, 100.0, -100.0]] * 2, dtype=dtype).requires_grad_()
    y = fake_quantize(x, Grid(0.5, 0, 4, True), gradient, torch.tensor([True, False]))
    assert y.tolist() == [[pytest.approx(0.3), 100.0, -100.0], [0.5, 3.5, -4.0]]
    upstream = torch.randn(2, 3, dtype=dtype)
    y.backward(upstream)
    passes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0] if gradient == "gc" else [1.0] * 3], dtype=dtype)
    assert torch.equal(x.grad, upstream * passes)


def test_the_input_stays_as_it_was():
    x = torch.randn(5, 4)
    before = x.clone()
    y = fake_quantize(x, Grid(0.5, 0, 4, True), protect=torch.ones(5, dtype=torch.bool))
    y += 1.0
    assert torch.equal(x, before)


@pytest.mark.parametrize(("bits", "signed"), GRIDS)
def test_no_mask_is_kept_only_where_nothing_was_clamped(bits, signed):
    limits = code_limits(bits, signed=signed)
    kept = 0
    for lo, hi in torch.rand(50, 2).tolist():
        ends = (-lo if signed else 0.0, hi)
        scale, zero_point = qparams(*(torch.tensor(end) for end in ends), *limits)
        for stretch in (1.0, 1.001618, 1.3):
            grid = Grid(float(scale * stretch), int(zero_point), bits, signed)
            x = torch.linspace(*ends, 500)[:, None].clamp(*ends)
            rounded, everything = round_onto(x, grid, count_against=TrackedRange(*ends, 0.0)), round_onto(x, grid)
            assert everything.passed is not None
            assert (rounded.passed is None) <= bool(everything.passed.all())
            kept += rounded.passed is None
            beyond = round_onto(
                torch.cat([x, torch.full((1, 1), 2 * hi + 1)]), grid, count_against=TrackedRange(*ends, 0.0)
            )
            assert beyond.passed is not None
    assert kept >= 100, "the margin of ranges makes it so in nearly all sites that clip nothing"
