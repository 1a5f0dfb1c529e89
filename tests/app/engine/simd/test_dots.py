"""Sums of products against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from app.engine.simd import dots
from app.engine.simd import vectors as simd
from app.engine.simd.vectors import Vector

pytestmark = pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")


@pytest.mark.parametrize("how", dots.DOTS, ids=str)
@pytest.mark.parametrize("lanes", [2, 8, 32])
def test_dots_are_exact(how, lanes):
    totals, bytes_, weights = Vector("i32", lanes), Vector("u8", 4 * lanes), Vector("i8", 4 * lanes)

    @njit
    def compute(a, b, out):
        total = simd.load(totals, out, 0)
        simd.store(out, 0, dots.dot(how, total, simd.load(bytes_, a, 0), simd.load(weights, b, 0)))

    rng = np.random.default_rng(0)
    largest = 64 if how is dots.BYTES_DOT else 128  # 2 * 255 * 64 is within 16 bits
    for a in (np.full(4 * lanes, 255), rng.integers(0, 256, 4 * lanes)):
        for b in (np.full(4 * lanes, -largest), rng.integers(-largest, min(largest + 1, 128), 4 * lanes)):
            out = np.arange(lanes, dtype=np.int32)
            compute(a.astype(np.uint8), b.astype(np.int8), out)
            np.testing.assert_array_equal(out, np.arange(lanes) + ((a - how.offset) * b).reshape(lanes, 4).sum(1))
