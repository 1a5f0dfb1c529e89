"""Loading vectors from arrays."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from app.engine.simd import vectors as simd
from app.engine.simd.vectors import Vector

pytestmark = pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")


def test_load_group_repeats_four_bytes():
    bytes_ = Vector("u8", 64)

    @njit
    def groups(x, out):
        simd.store(out, 0, simd.load_group(bytes_, x, 3))

    out = np.empty(64, np.uint8)
    groups(np.arange(9, dtype=np.uint8), out)
    np.testing.assert_array_equal(out, np.tile([3, 4, 5, 6], 16))


def test_load_four_fills_a_quarter_with_each():
    floats = Vector("f32", 64)

    @njit
    def four(x, out):
        simd.store(out, 0, simd.load_four(floats, x, 3, 0, 5, 5))

    x, out = np.arange(6, dtype=np.float32), np.empty(64, np.float32)
    four(x, out)
    np.testing.assert_array_equal(out, np.repeat(np.float32([3, 0, 5, 5]), 16))


@pytest.mark.parametrize("lanes", [8, 16, 64])
def test_load_sixteen_repeats_or_cuts_sixteen_bytes(lanes):
    bytes_ = Vector("u8", lanes)

    @njit
    def sixteen(x, out):
        simd.store(out, 0, simd.load_sixteen(bytes_, x, 2))

    x, out = np.arange(20, dtype=np.uint8), np.empty(lanes, np.uint8)
    sixteen(x, out)
    np.testing.assert_array_equal(out, np.resize(x[2:18], lanes))


def test_gather_reads_elements_by_a_row_and_a_byte():
    floats, numbers = Vector("f32", 8), Vector("i32", 8)

    @njit
    def picked(x, rows, at, out):
        simd.store(out, 0, simd.gather(floats, x, simd.load(numbers, rows, 0), at, 3))

    rng = np.random.default_rng(0)
    x, out = rng.random((5, 256), np.float32), np.empty(8, np.float32)
    rows, at = rng.integers(0, 5, 8, np.int32) * 256, rng.integers(0, 256, 11, np.uint8)
    at[3:5] = 0, 255
    picked(x, rows, at, out)
    np.testing.assert_array_equal(out, x.reshape(-1)[rows + at[3:]])


@pytest.mark.parametrize("count", [0, 1, 5, 16])
@pytest.mark.parametrize(("element", "dtype"), [("u8", np.uint8), ("i32", np.int32)])
def test_store_first_writes_no_further(element, dtype, count):
    lanes = Vector(element, 16)

    @njit
    def some(x, out, number):
        simd.store_first(out, 2, simd.load(lanes, x, 0), number)

    x, out = np.arange(1, 17, dtype=dtype), np.zeros(20, dtype)
    some(x, out, count)
    np.testing.assert_array_equal(out, [0, 0, *x[:count], *[0] * (18 - count)])
