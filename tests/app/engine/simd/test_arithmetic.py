"""Operators and conversions of vectors against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from app.engine.simd import vectors as simd
from app.engine.simd.vectors import Vector

pytestmark = pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")


@pytest.mark.parametrize("lanes", [4, 8, 16, 64])
def test_round_half_to_even_and_clamp(lanes):
    floats = Vector("f32", lanes)

    @njit
    def codes(x, out):
        v = simd.clamp(simd.load(floats, x, 0), np.float32(-128), np.float32(127))
        simd.store(out, 0, simd.to_u8(simd.to_i32(v) + 128))

    x = np.resize(np.float32([-0.5, 0.5, 1.5, -2.5, 126.5, 127.5, 1e30, -np.inf, np.inf, 3.49, -128.5]), lanes)
    out = np.empty(lanes, np.uint8)
    codes(x, out)
    np.testing.assert_array_equal(out, np.clip(np.rint(x), -128, 127).astype(int) + 128)


def test_least_is_the_smaller_number():
    @njit
    def smaller(a, b):
        return simd.least(a, b)

    assert [smaller(a, b) for a, b in ((2, 3), (3, 2), (-1, 0), (1 << 40, 1 << 41))] == [2, 2, -1, 1 << 40]


def test_bytes_of_a_pair_are_swapped_by_shifts():
    pairs, bytes_ = Vector("u16", 32), Vector("u8", 64)

    @njit
    def swap(x, out):
        v = simd.reinterpret(pairs, simd.load(bytes_, x, 0))
        simd.store(out, 0, simd.reinterpret(bytes_, (v << 8) | (v >> 8)))

    x, swapped = np.arange(64, dtype=np.uint8), np.empty(64, np.uint8)
    swap(x, swapped)
    np.testing.assert_array_equal(swapped, x.view(">u2").astype("<u2").view(np.uint8))


def test_operators_of_integers():
    words = Vector("i32", 16)

    @njit
    def arithmetic(x, out):
        v = simd.load(words, x, 0)
        simd.store(out, 0, ((v * v - v) & 1023) + (v >> 2) * 3)

    v, out = np.arange(-8, 8, dtype=np.int32), np.empty(16, np.int32)
    arithmetic(v, out)
    np.testing.assert_array_equal(out, ((v * v - v) & 1023) + (v >> 2) * 3)


@pytest.mark.parametrize("lanes", [4, 8, 16, 64])
def test_lanes_are_summed_up(lanes):
    words = Vector("i32", lanes)

    @njit
    def total(x):
        return simd.sum_lanes(simd.load(words, x, 0))

    x = np.arange(-3, lanes - 3, dtype=np.int32) * 10**7
    assert total(x) == x.sum(dtype=np.int32)


@pytest.mark.parametrize("element", ["u8", "i16", "i32"])
def test_larger_knows_signs(element):
    kind = Vector(element, 16)

    @njit
    def compute(a, b, out):
        simd.store(out, 0, simd.larger(simd.load(kind, a, 0), simd.load(kind, b, 0)))

    dtype = {"u8": np.uint8, "i16": np.int16, "i32": np.int32}[element]
    ends = np.iinfo(dtype)
    a = np.array([ends.min, ends.max, 0, 1] * 4, dtype)
    b, out = np.repeat(a[:4], 4), np.empty(16, dtype)
    compute(a, b, out)
    np.testing.assert_array_equal(out, np.maximum(a, b))


def test_look_up_in_a_table_of_sixteen():
    bytes_ = Vector("u8", 64)

    @njit
    def entries(table, numbers, out):
        simd.store(out, 0, simd.look_up(simd.load_sixteen(bytes_, table, 0), simd.load(bytes_, numbers, 0)))

    rng = np.random.default_rng(0)
    table, numbers = rng.integers(0, 256, 16, np.uint8), rng.integers(0, 16, 64, np.uint8)
    out = np.empty(64, np.uint8)
    entries(table, numbers, out)
    np.testing.assert_array_equal(out, table[numbers])
