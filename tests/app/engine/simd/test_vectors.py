"""The vector values of kernels against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from app.engine.simd import dots
from app.engine.simd import vectors as simd
from app.engine.simd.vectors import Vector

pytestmark = pytest.mark.skipif(not simd.AVX2, reason="this CPU has no AVX2")

DOTS = [dots.WORDS_DOT, dots.BYTES_DOT] + [dots.VNNI_DOT] * simd.VNNI


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


@pytest.mark.parametrize("how", DOTS)
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
            np.testing.assert_array_equal(out, np.arange(lanes) + (a * b).reshape(lanes, 4).sum(1))


def test_operators_and_views():
    words, pairs, bytes_ = Vector("i32", 16), Vector("u16", 32), Vector("u8", 64)

    @njit
    def halves(x, out):
        v = simd.reinterpret(pairs, simd.load(bytes_, x, 0))
        simd.store(out, 0, simd.reinterpret(bytes_, (v << 8) | (v >> 8)))

    @njit
    def arithmetic(x, out):
        v = simd.load(words, x, 0)
        simd.store(out, 0, ((v * v - v) & 1023) + (v >> 2) * 3)

    x, swapped = np.arange(64, dtype=np.uint8), np.empty(64, np.uint8)
    halves(x, swapped)
    np.testing.assert_array_equal(swapped, x.view(">u2").astype("<u2").view(np.uint8))
    v, out = np.arange(-8, 8, dtype=np.int32), np.empty(16, np.int32)
    arithmetic(v, out)
    np.testing.assert_array_equal(out, ((v * v - v) & 1023) + (v >> 2) * 3)


def test_load_group_repeats_four_bytes():
    bytes_ = Vector("u8", 64)

    @njit
    def groups(x, out):
        simd.store(out, 0, simd.load_group(bytes_, x, 3))

    out = np.empty(64, np.uint8)
    groups(np.arange(9, dtype=np.uint8), out)
    np.testing.assert_array_equal(out, np.tile([3, 4, 5, 6], 16))


def test_gather_and_larger():
    floats, numbers = Vector("f32", 8), Vector("i32", 8)

    @njit
    def picked(x, at, other, out):
        simd.store(out, 0, simd.gather(floats, x, simd.larger(simd.load(numbers, at, 0), simd.load(numbers, other, 0))))

    rng = np.random.default_rng(0)
    x, out = rng.random((5, 20), np.float32), np.empty(8, np.float32)
    at, other = (rng.integers(-5, 100, 8, np.int32) for _ in range(2))
    other = np.maximum(other, 0)
    picked(x, at, other, out)
    np.testing.assert_array_equal(out, x.reshape(-1)[np.maximum(at, other)])


@pytest.mark.parametrize("element", ["u8", "i16"])
def test_larger_knows_signs(element):
    kind = Vector(element, 16)

    @njit
    def compute(a, b, out):
        simd.store(out, 0, simd.larger(simd.load(kind, a, 0), simd.load(kind, b, 0)))

    dtype = {"u8": np.uint8, "i16": np.int16}[element]
    ends = np.iinfo(dtype)
    a = np.array([ends.min, ends.max, 0, 1] * 4, dtype)
    b, out = np.repeat(a[:4], 4), np.empty(16, dtype)
    compute(a, b, out)
    np.testing.assert_array_equal(out, np.maximum(a, b))
