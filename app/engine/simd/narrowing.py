"""Narrowing of vectors: lanes are clamped and packed into fewer bits. See vectors.py.

The packing instructions work within every 128 bits, so their results are out of order. `to_codes` restores the order;
`narrow` leaves that to `widen`, which a kernel calls once for many sums.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
from collections.abc import Mapping

from llvmlite import ir
from numba.core import types

from .lowering import REGISTER_BITS, Vector, constant, function_named, intrinsic, joined, nearest, picked, splat, split

LARGEST = 2.0**30
"""Larger floats are replaced by this one: it lies far beyond every code and still fits an i32."""

_PACKSSDW = {256: "llvm.x86.avx2.packssdw", 512: "llvm.x86.avx512.packssdw.512"}
_PACKUSWB = {256: "llvm.x86.avx2.packuswb", 512: "llvm.x86.avx512.packuswb.512"}
_LANES = REGISTER_BITS // 32


def _packed(builder, value, names: Mapping[int, str], element: str):
    """Packs every two registers of `value` into one of `element`; zeros stand in for a missing register."""
    lanes = REGISTER_BITS // value.type.element.width
    result, parts = Vector(element, 2 * lanes).llvm, []
    for first in range(0, value.type.count, 2 * lanes):
        pair = [split(builder, value, first, lanes), split(builder, value, first + lanes, lanes)]
        parts.append(builder.call(function_named(builder, names[REGISTER_BITS], result, pair), pair))
    return joined(builder, parts)


def _packed_lane(number: int, registers: int) -> int:
    """Returns the lane of a number after `registers` registers of i32 were packed into one."""
    register, lane = divmod(number, _LANES)
    quarter, word = divmod(lane, 4)
    whole, part = divmod(register, registers)
    return ((whole * (_LANES // 4) + quarter) * registers + part) * 4 + word


@intrinsic
def narrow(typing_context, vector):
    """Converts i32 to i16, clamped, in an order that `widen` undoes. Takes at least two registers."""
    target = Vector("i16", vector.lanes)
    if vector.element != "i32" or vector.bits < 2 * REGISTER_BITS:
        return None
    return target(vector), lambda context, builder, signature, args: _packed(builder, args[0], _PACKSSDW, "i16")


@intrinsic
def widen(typing_context, vector):
    """Converts narrowed i16, or sums of them, to i32 in their original order."""
    target = Vector("i32", vector.lanes)

    def generate(context, builder, signature, args):
        parts = []
        for first in range(0, vector.lanes, _LANES):
            places = [_packed_lane(number, 2) for number in range(first, first + _LANES)]
            parts.append(builder.sext(picked(builder, args[0], places), Vector("i32", _LANES).llvm))
        return joined(builder, parts)

    return target(vector), generate


@intrinsic
def to_codes(typing_context, vector, zero, largest):
    """Converts float32 to u8: min(max(round(v) + zero, 0), largest). `zero` is at most 255; NaN becomes 0."""
    target, integers = Vector("u8", vector.lanes), Vector("i32", vector.lanes)

    def generate(context, builder, signature, args):
        bound = constant(vector, LARGEST)
        value = builder.select(builder.fcmp_ordered(">", args[0], bound), bound, args[0])
        words = _packed(builder, nearest(builder, value, integers), _PACKSSDW, "i16")
        kind = Vector("i16", words.type.count)
        shift = splat(builder, builder.trunc(args[1], ir.IntType(16)), kind)
        name = f"llvm.sadd.sat.v{kind.lanes}i16"
        words = builder.call(function_named(builder, name, kind.llvm, [words, shift]), [words, shift])
        codes = _packed(builder, words, _PACKUSWB, "u8")
        top = splat(builder, builder.trunc(args[2], ir.IntType(8)), Vector("u8", codes.type.count))
        codes = builder.select(builder.icmp_unsigned("<", codes, top), codes, top)
        return picked(builder, codes, [_packed_lane(number, 4) for number in range(vector.lanes)])

    return target(vector, types.int32, types.int32), generate
