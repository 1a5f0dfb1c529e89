"""Narrowing of vectors: lanes are clamped and packed into fewer bits. See vectors.py.

The packing instructions of longer registers work within every 128 bits, so their results are out of order. `to_codes`
restores the order; `narrow` leaves that to `widen`, which a kernel calls once for many sums. In registers of 128 bits
nothing is out of order.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
from collections.abc import Mapping
from typing import NamedTuple

from llvmlite import ir
from numba.core import types

from .lowering import Vector, constant, function_named, intrinsic, joined, nearest, picked, splat, split
from .target import REGISTER_BITS

LARGEST = 2.0**30
"""Larger floats are replaced by this one: it lies far beyond every code and still fits an i32."""

_LANES = REGISTER_BITS // 32


class _Packing(NamedTuple):
    """A conversion of signed lanes to a narrower element that clamps: the function for each size of register."""

    element: str
    lowest: int
    highest: int
    names: Mapping[int, str]


_TO_I16 = _Packing("i16", -(2**15), 2**15 - 1, {256: "llvm.x86.avx2.packssdw", 512: "llvm.x86.avx512.packssdw.512"})
_TO_U8 = _Packing("u8", 0, 255, {256: "llvm.x86.avx2.packuswb", 512: "llvm.x86.avx512.packuswb.512"})


def _packed(builder, value, packing: _Packing):
    """Packs every two registers of `value` into one; zeros stand in for a missing register of more than 128 bits."""
    if REGISTER_BITS not in packing.names:
        return _clamped(builder, value, packing)
    lanes = REGISTER_BITS // value.type.element.width
    result, parts = Vector(packing.element, 2 * lanes).llvm, []
    for first in range(0, value.type.count, 2 * lanes):
        pair = [split(builder, value, first, lanes), split(builder, value, first + lanes, lanes)]
        parts.append(builder.call(function_named(builder, packing.names[REGISTER_BITS], result, pair), pair))
    return joined(builder, parts)


def _clamped(builder, value, packing: _Packing):
    """Clamps and truncates: LLVM makes one instruction of it on x86 (packssdw, packuswb) and on ARM (sqxtn, sqxtun)."""
    for compare, bound in ((">", packing.lowest), ("<", packing.highest)):
        limit = ir.Constant(value.type, [bound] * value.type.count)
        value = builder.select(builder.icmp_signed(compare, value, limit), value, limit)
    return builder.trunc(value, Vector(packing.element, value.type.count).llvm)


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
    return target(vector), lambda context, builder, signature, args: _packed(builder, args[0], _TO_I16)


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
    """Converts float32 to u8: min(max(round(v) + zero, 0), largest). `zero` is at most 255; NaN: any code."""
    target, integers = Vector("u8", vector.lanes), Vector("i32", vector.lanes)

    def generate(context, builder, signature, args):
        bound = constant(vector, LARGEST)
        value = builder.select(builder.fcmp_ordered(">", args[0], bound), bound, args[0])
        words = _packed(builder, nearest(builder, value, integers), _TO_I16)
        kind = Vector("i16", words.type.count)
        shift = splat(builder, builder.trunc(args[1], ir.IntType(16)), kind)
        name = f"llvm.sadd.sat.v{kind.lanes}i16"
        words = builder.call(function_named(builder, name, kind.llvm, [words, shift]), [words, shift])
        codes = _packed(builder, words, _TO_U8)
        top = splat(builder, builder.trunc(args[2], ir.IntType(8)), Vector("u8", codes.type.count))
        codes = builder.select(builder.icmp_unsigned("<", codes, top), codes, top)
        return picked(builder, codes, [_packed_lane(number, 4) for number in range(vector.lanes)])

    return target(vector, types.int32, types.int32), generate
