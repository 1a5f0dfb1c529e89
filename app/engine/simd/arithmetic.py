"""Operators on vectors, and conversions between their elements. See vectors.py."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
import operator

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from .lowering import ELEMENTS, Vector, by_register, function_named, intrinsic, nearest, splat, split
from .target import FMA, NEON, SSSE3

_INTEGER = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.and_: "and_",
    operator.or_: "or_",
    operator.lshift: "shl",
}
_FLOAT = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}


class _Operator(AbstractTemplate):
    """Types an operator between two vectors of one type, or a vector and a number."""

    key: object

    def generic(self, args, keywords):
        left, right = args
        if isinstance(left, Vector) and (left == right or isinstance(right, types.Number)):
            if self.key not in (_FLOAT if left.is_float else _INTEGER | {operator.rshift: ""}):
                return None
            number = types.float32 if left.is_float else types.int32
            return signature(left, left, left if left == right else number)
        return None


def _lower(symbol) -> None:
    """Registers the code of an operator."""

    def generate(context, builder, sig, args):
        vector, other = sig.args[0], args[1]
        if sig.args[1] != vector:
            number = other if vector.bits // vector.lanes == 32 else builder.trunc(other, ELEMENTS[vector.element])
            other = splat(builder, number, vector)
        if symbol is operator.rshift:
            name = "ashr" if vector.element[0] == "i" else "lshr"
        else:
            name = (_FLOAT if vector.is_float else _INTEGER)[symbol]
        return getattr(builder, name)(args[0], other)

    lower_builtin(symbol, Vector, Vector)(generate)
    lower_builtin(symbol, Vector, types.Number)(generate)


for _symbol in {**_INTEGER, **_FLOAT, operator.rshift: ""}:
    infer_global(_symbol)(_Operator)
    _lower(_symbol)


@intrinsic
def clamp(typing_context, vector, lowest, highest):
    """Returns min(max(v, lowest), highest) of every lane; lanes must be signed."""
    number = types.float32 if vector.is_float else types.int32

    def generate(context, builder, signature, args):
        compare = builder.fcmp_ordered if vector.is_float else builder.icmp_signed
        full = vector.bits // vector.lanes == 32
        bounds = [bound if full else builder.trunc(bound, ELEMENTS[vector.element]) for bound in args[1:]]
        low, high = (splat(builder, bound, vector) for bound in bounds)
        value = builder.select(compare(">", args[0], low), args[0], low)
        return builder.select(compare("<", value, high), value, high)

    return vector(vector, number, number), generate


@intrinsic
def least(typing_context, number, other):
    """Returns the smaller of two whole numbers. Numba's own `min` is a function that it compiles for every type."""

    def generate(context, builder, signature, args):
        return builder.select(builder.icmp_signed("<", *args), *args)

    return types.intp(types.intp, types.intp), generate


@intrinsic
def larger(typing_context, vector, other):
    """Returns the larger of every two integer lanes."""
    if vector != other or vector.is_float:
        return None

    def generate(context, builder, signature, args):
        compare = builder.icmp_signed if vector.element[0] == "i" else builder.icmp_unsigned
        return builder.select(compare(">", *args), *args)

    return vector(vector, vector), generate


@intrinsic
def sum_lanes(typing_context, vector):
    """Returns the sum of i32 lanes, modulo 2^32."""
    if vector.element != "i32":
        return None

    def generate(context, builder, signature, args):
        name = f"llvm.vector.reduce.add.v{vector.lanes}i32"
        return builder.call(function_named(builder, name, ELEMENTS["i32"], args), args)

    return types.int32(vector), generate


@intrinsic
def multiply_add(typing_context, vector, number, addend):
    """Returns vector * number + addend of float32 lanes, rounded once (twice where the CPU has no FMA)."""
    if vector != addend or not vector.is_float:
        return None

    def generate(context, builder, signature, args):
        name, operands = f"llvm.fma.v{vector.lanes}f32", [args[0], splat(builder, args[1], vector), args[2]]
        if not FMA:
            return builder.fadd(builder.fmul(*operands[:2]), args[2])
        return builder.call(function_named(builder, name, vector.llvm, operands), operands)

    return vector(vector, types.float32, vector), generate


_SHUFFLE = {
    128: "llvm.aarch64.neon.tbl1.v16i8" if NEON else "llvm.x86.ssse3.pshuf.b.128",
    256: "llvm.x86.avx2.pshuf.b",
    512: "llvm.x86.avx512.pshuf.b.512",
}


@intrinsic
def look_up(typing_context, table, numbers):
    """Returns table[number] of u8 lanes from 0 to 15; every sixteen lanes use the same sixteen lanes of `table`."""
    if table != numbers or table.element != "u8" or table.lanes < 16:
        return None

    def generate(context, builder, signature, args):
        if NEON or SSSE3:
            return by_register(builder, _SHUFFLE, table, *args)
        return _one_by_one(builder, *args)

    return table(table, numbers), generate


def _one_by_one(builder, table, numbers):
    """Looks up lane by lane, for CPUs without a shuffle of bytes."""
    sixteen, found = split(builder, table, 0, 16), ir.Constant(table.type, ir.Undefined)
    for lane in range(table.type.count):
        where = ir.Constant(ir.IntType(32), lane)
        entry = builder.extract_element(sixteen, builder.zext(builder.extract_element(numbers, where), where.type))
        found = builder.insert_element(found, entry, where)
    return found


def _convert(builder, value, source: Vector, target: Vector):
    """Converts lanes. The CPU rounds half to even unless its mode is changed, which nothing here does."""
    if source.is_float:
        return nearest(builder, value, target)
    signed = source.element[0] == "i"
    if target.is_float:
        return (builder.sitofp if signed else builder.uitofp)(value, target.llvm)
    if target.bits < source.bits:
        return builder.trunc(value, target.llvm)
    return (builder.sext if signed else builder.zext)(value, target.llvm)


def _conversion(element: str):
    @intrinsic
    def convert(typing_context, vector):
        target = Vector(element, vector.lanes)
        if vector.is_float and element != "i32":
            return None

        def generate(context, builder, signature, args):
            return _convert(builder, args[0], vector, target)

        return target(vector), generate

    return convert


to_u8, to_i8, to_u16, to_i16, to_i32, to_f32 = map(_conversion, ("u8", "i8", "u16", "i16", "i32", "f32"))


@intrinsic
def reinterpret(typing_context, kind, vector):
    """Returns the same bits as lanes of another type."""
    target = kind.instance_type
    if target.bits != vector.bits:
        return None
    return target(kind, vector), lambda context, builder, signature, args: builder.bitcast(args[1], target.llvm)
