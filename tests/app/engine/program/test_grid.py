"""The affine quantizer: exact zeros, ends of ranges, rounding, NumPy and torch alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.engine.program.grid import SMALLEST_SCALE, Grid, code_limits, dequantize, qparams, quantize

BITS = range(2, 9)
RANGES = [(-1.0, 1.0), (0.0, 6.0), (-3.0, 0.0), (2.0, 5.0), (-7.0, -1.0), (-1e-3, 40.0), (-40.0, 1e-3),
          (-0.731, 0.4177), (0.0, 1e-20), (-3e37, 3e37), (-1e-30, 1e-30)]  # fmt: skip

pytestmark = pytest.mark.parametrize("signed", [True, False])


def on_grid(lo, hi, bits, signed):
    limits = code_limits(bits, signed=signed)
    return (*qparams(np.float32(lo), np.float32(hi), *limits), *limits)


@pytest.mark.parametrize("bits", BITS)
def test_code_limits_hold_two_to_the_bits_codes(bits, signed):
    qmin, qmax = code_limits(bits, signed=signed)
    assert qmax - qmin + 1 == 2**bits
    assert qmin == (-qmax - 1 if signed else 0)
    grid = Grid(0.5, 0, bits, signed)
    assert (grid.qmin, grid.qmax) == (qmin, qmax)


@pytest.mark.parametrize("bits", [-1, 0, 1, 9, 16, 32])
def test_other_widths_are_refused(bits, signed):
    with pytest.raises(ValueError, match=f"from 2 to 8, got {bits}"):
        code_limits(bits, signed=signed)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("lo", "hi"), RANGES)
def test_zero_maps_to_zero_exactly(lo, hi, bits, signed):
    scale, zero_point, qmin, qmax = on_grid(lo, hi, bits, signed)
    code = quantize(np.float32([0.0, -0.0]), scale, zero_point, qmin, qmax)
    assert (code == zero_point).all()
    assert qmin <= zero_point <= qmax
    assert (dequantize(code, scale, zero_point) == 0.0).all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("lo", "hi"), RANGES[:8])
def test_values_of_the_range_move_by_at_most_half_a_step(lo, hi, bits, signed):
    scale, zero_point, qmin, qmax = on_grid(lo, hi, bits, signed)
    x = np.linspace(min(lo, 0.0), max(hi, 0.0), 1001).astype(np.float32)
    y = dequantize(quantize(x, scale, zero_point, qmin, qmax), scale, zero_point)
    # The zero point is a whole number, so one end may lie up to half a step beyond the last code.
    inside = (x >= (qmin - zero_point) * scale) & (x <= (qmax - zero_point) * scale)
    assert np.abs(x - y)[inside].max() <= scale * 0.50005
    assert np.abs(x - y).max() <= scale * 1.0001
    assert inside.mean() > 0.8


@pytest.mark.filterwarnings("ignore:overflow encountered in divide")
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("lo", "hi"), RANGES)
def test_values_of_codes_come_back_as_the_same_codes(lo, hi, bits, signed):
    scale, zero_point, qmin, qmax = on_grid(lo, hi, bits, signed)
    codes = np.arange(qmin, qmax + 1, dtype=np.float32)
    values = dequantize(codes, scale, zero_point)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(quantize(values, scale, zero_point, qmin, qmax), codes)
    beyond = np.float32([-3.4e38, 3.4e38])
    assert quantize(beyond, scale, zero_point, qmin, qmax).tolist() == [qmin, qmax]


def test_an_empty_range_has_scale_one(signed):
    scale, zero_point, qmin, qmax = on_grid(0.0, 0.0, 8, signed)
    assert (scale, zero_point) == (1.0, 0.0)
    assert quantize(np.float32([3.0]), scale, zero_point, qmin, qmax) == 3.0


def test_an_almost_empty_range_keeps_the_scale_from_underflowing(signed):
    scale, *_ = on_grid(0.0, 1e-37, 8, signed)
    assert scale == np.float32(SMALLEST_SCALE)


def test_rounding_is_half_to_even_before_the_zero_point(signed):
    x = np.float32([0.5, 1.5, 2.5, 3.5])
    assert quantize(x, 1.0, 0, 0, 127).tolist() == [0, 2, 2, 4]
    assert quantize(x, 1.0, 1, 0, 127).tolist() == [1, 3, 3, 5]
    assert quantize(-x, 1.0, 0, -128, 127).tolist() == [0, -2, -2, -4]


@pytest.mark.parametrize("bits", BITS)
def test_equals_torch_where_division_is_exact(bits, signed):
    """Torch multiplies by 1 / scale, so powers of two are where both must agree, ties included."""
    qmin, qmax = code_limits(bits, signed=signed)
    x = torch.arange(-1100, 1100) * 0.0625
    for zero_point in {qmin, qmin + 1, (qmin + qmax) // 2, qmax}:
        expected = torch.fake_quantize_per_tensor_affine(x, 0.125, zero_point, qmin, qmax)
        got = dequantize(quantize(x, 0.125, zero_point, qmin, qmax), 0.125, zero_point)
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("bits", BITS)
def test_numpy_and_torch_and_arrays_of_ranges_agree(bits, signed):
    limits = code_limits(bits, signed=signed)
    lo, hi = np.float32(RANGES).T
    scales, zero_points = qparams(lo, hi, *limits)
    torch_scales, torch_zero_points = qparams(torch.tensor(lo), torch.tensor(hi), *limits)
    np.testing.assert_array_equal(scales, torch_scales.numpy())
    np.testing.assert_array_equal(zero_points, torch_zero_points.numpy())
    x = np.random.default_rng(bits).normal(size=5000).astype(np.float32)
    for i, ends in enumerate(RANGES):
        scale, zero_point, *_ = on_grid(*ends, bits, signed)
        assert (scale, zero_point) == (scales[i], zero_points[i])
        codes = quantize(x, scale, zero_point, *limits)
        np.testing.assert_array_equal(codes, quantize(torch.tensor(x), scale.item(), zero_point, *limits).numpy())
