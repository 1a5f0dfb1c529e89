"""Sums of products of bytes, the core of matrix products. See vectors.py."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
from typing import Any

from numba.core import types

from .lowering import Vector, by_register, constant, intrinsic

_VPDPBUSD = {256: "llvm.x86.avx512.vpdpbusd.256", 512: "llvm.x86.avx512.vpdpbusd.512"}
_PMADDWD = {256: "llvm.x86.avx2.pmadd.wd", 512: "llvm.x86.avx512.pmaddw.d.512"}
_PMADDUBSW = {256: "llvm.x86.avx2.pmadd.ub.sw", 512: "llvm.x86.avx512.pmaddubs.w.512"}


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


_SUMS = {"vnni": _vnni, "words": _words, "bytes": _bytes}


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


VNNI_DOT = Dot("vnni")
"""One instruction of AVX-512 VNNI; exact."""

WORDS_DOT = Dot("words")
"""Products in 16 bits and sums in 32; exact."""

BYTES_DOT = Dot("bytes")
"""Sums of two neighbouring products in 16 bits; exact only where none of them can leave -32768..32767."""


@intrinsic
def dot(typing_context, how, total, a, b):
    """Returns total[i] + sum over j = 0..3 of a[4 i + j] * b[4 i + j], i32, of a u8 and b i8."""
    if (total.element, a.element, b.element) != ("i32", "u8", "i8") or not 4 * total.lanes == a.lanes == b.lanes:
        return None

    def generate(context, builder, signature, args):
        return _SUMS[how.instance_type.how](builder, total, *args[1:])

    return total(how, total, a, b), generate
