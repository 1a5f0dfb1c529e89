"""Sums of products of bytes, the core of matrix products. See vectors.py."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
from typing import Any

from llvmlite import ir
from numba.core import types

from .lowering import Vector, by_register, constant, intrinsic, picked
from .target import DOTPROD, I8MM, NEON, SSSE3, VNNI

_VPDPBUSD = {bits: f"llvm.x86.avx512.vpdpbusd.{bits}" for bits in (128, 256, 512)}
_PMADDWD = {128: "llvm.x86.sse2.pmadd.wd", 256: "llvm.x86.avx2.pmadd.wd", 512: "llvm.x86.avx512.pmaddw.d.512"}
_PMADDUBSW = {
    128: "llvm.x86.ssse3.pmadd.ub.sw.128",
    256: "llvm.x86.avx2.pmadd.ub.sw",
    512: "llvm.x86.avx512.pmaddubs.w.512",
}
_USDOT = {128: "llvm.aarch64.neon.usdot.v4i32.v16i8"}
_SDOT = {128: "llvm.aarch64.neon.sdot.v4i32.v16i8"}
_SADDLP = {128: "llvm.aarch64.neon.saddlp.v4i32.v8i16"}


def _vnni(builder, vector, total, a, b):
    a, b = builder.bitcast(a, vector.llvm), builder.bitcast(b, vector.llvm)  # as LLVM declared it up to 21
    return by_register(builder, _VPDPBUSD, vector, total, a, b)


def _words(builder, vector, total, a, b):
    words = Vector("i16", 2 * vector.lanes)
    a, b = builder.bitcast(a, words.llvm), builder.bitcast(b, words.llvm)
    eight = constant(words, 8)
    even = builder.and_(a, constant(words, 255)), builder.ashr(builder.shl(b, eight), eight)
    odd = builder.lshr(a, eight), builder.ashr(b, eight)
    for pair in (even, odd):
        total = builder.add(total, by_register(builder, _PMADDWD, vector, *pair))
    return total


def _bytes(builder, vector, total, a, b):
    words = Vector("i16", 2 * vector.lanes)
    pairs = by_register(builder, _PMADDUBSW, words, a, b)
    sums = by_register(builder, _PMADDWD, vector, pairs, constant(words, 1))
    return builder.add(total, sums)


def _usdot(builder, vector, total, a, b):
    return by_register(builder, _USDOT, vector, total, a, b)


def _sdot(builder, vector, total, a, b):
    return by_register(builder, _SDOT, vector, total, _signed(builder, a), b)


def _smull(builder, vector, total, a, b):
    words = Vector("i16", 4 * vector.lanes).llvm
    products = builder.mul(builder.sext(_signed(builder, a), words), builder.sext(b, words))
    pairs = by_register(builder, _SADDLP, Vector("i32", 2 * vector.lanes), products)
    even, odd = (picked(builder, pairs, list(range(first, 2 * vector.lanes, 2))) for first in (0, 1))
    return builder.add(total, builder.add(even, odd))


def _signed(builder, a):
    """Takes 128 off unsigned bytes, which makes them signed."""
    return builder.xor(a, ir.Constant(a.type, [-128] * a.type.count))


_SUMS = {"vnni": _vnni, "words": _words, "bytes": _bytes, "usdot": _usdot, "sdot": _sdot, "smull": _smull}


class Dot(types.Type):
    """A way to compute `dot`.

    It is a numba type, so that kernels take it as they take vector types and can be cached.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        super().__init__(name=f"dot_{how}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as Vector does."""
        return Dot, (self.how,)

    @property
    def offset(self) -> int:
        """What it takes off every a before it multiplies."""
        return 128 if self.how in ("sdot", "smull") else 0


VNNI_DOT = Dot("vnni")
"""One instruction of x86 with VNNI; exact."""

WORDS_DOT = Dot("words")
"""Products in 16 bits and sums in 32, on every x86; exact."""

BYTES_DOT = Dot("bytes")
"""Sums of two neighbouring products in 16 bits, on x86 with SSSE3; exact only where none leaves -32768..32767."""

USDOT = Dot("usdot")
"""One instruction of ARM with I8MM; exact."""

SDOT = Dot("sdot")
"""One instruction of ARM with DOTPROD, which multiplies signed bytes; exact."""

SMULL_DOT = Dot("smull")
"""Products in 16 bits and sums in 32, of signed bytes, on every 64-bit ARM; exact."""

X86_DOTS = [WORDS_DOT] + [BYTES_DOT] * SSSE3 + [VNNI_DOT] * VNNI
ARM_DOTS = [SMULL_DOT] + [SDOT] * DOTPROD + [USDOT] * I8MM
DOTS = ARM_DOTS if NEON else X86_DOTS
"""What this CPU can compute, the fastest last."""


@intrinsic
def dot(typing_context, how, total, a, b):
    """Returns total[i] + sum over j = 0..3 of (a[4 i + j] - how.offset) * b[4 i + j], i32, of a u8 and b i8."""
    if (total.element, a.element, b.element) != ("i32", "u8", "i8") or not 4 * total.lanes == a.lanes == b.lanes:
        return None

    def generate(context, builder, signature, args):
        return _SUMS[how.instance_type.how](builder, total, *args[1:])

    return total(how, total, a, b), generate
