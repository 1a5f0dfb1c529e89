"""Narrowing of vectors against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from app.engine.simd import narrowing
from app.engine.simd import vectors as simd
from app.engine.simd.target import REGISTER_BITS
from app.engine.simd.vectors import Vector

pytestmark = pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")


@pytest.mark.parametrize("lanes", [8, 16, 64, 128])
@pytest.mark.parametrize(("zero", "largest"), [(0, 255), (255, 255), (7, 15), (3, 200)])
def test_codes_are_rounded_half_to_even_shifted_and_clamped_in_order(lanes, zero, largest):
    floats = Vector("f32", lanes)

    @njit
    def codes(x, zero, largest, out):
        simd.store(out, 0, narrowing.to_codes(simd.load(floats, x, 0), np.int32(zero), np.int32(largest)))

    extremes = np.float32([1e30, -1e30, np.inf, -np.inf, 2.5, 3.5, -0.5, 2.0**31])
    rng = np.random.default_rng(0)
    for x in (rng.normal(0, 100, lanes), rng.permutation(np.resize(extremes, lanes)), np.arange(lanes) - 2.5):
        out = np.empty(lanes, np.uint8)
        codes(x.astype(np.float32), zero, largest, out)
        np.testing.assert_array_equal(out, np.clip(np.rint(x.astype(np.float32)) + zero, 0, largest))


@pytest.mark.parametrize("registers", [2, 4, 8])
def test_sums_of_narrowed_numbers_come_back_in_order(registers):
    lanes = registers * REGISTER_BITS // 32
    words = Vector("i32", lanes)

    @njit
    def sums(x, y, out):
        total = narrowing.narrow(simd.load(words, x, 0)) + simd.clamp(narrowing.narrow(simd.load(words, y, 0)), -3, 9)
        simd.store(out, 0, narrowing.widen(total))

    x, out = np.arange(lanes, dtype=np.int32) * 97 - 5000, np.empty(lanes, np.int32)
    y = np.random.default_rng(0).integers(-20, 20, lanes).astype(np.int32)
    x[:2] = 100_000, -100_000
    y[:2] = -100_000, 100_000  # clamped by the packing alone, then to -3 and 9: the sums wrap around
    sums(x, y, out)
    expected = np.clip(x, -(2**15), 2**15 - 1) + np.clip(y, -3, 9)
    np.testing.assert_array_equal(out, expected.astype(np.int16))
