"""Vectors as values of numba kernels: they live in registers and are written like NumPy arrays.

How to add a kernel, on one page:

1. A vector has an element ("u8", "i8", "u16", "i16", "i32", "f32") and a number of lanes: `Vector("i32", 32)`.
   Make the types you need at module level; inside a kernel they are arguments: `zeros(I32x32)`.
   Lanes may be more than a register holds: LLVM splits such a vector over several. A vector of 128 bytes is
   a good unit of work, for its operations do not wait for each other.
2. `load(kind, array, offset)` reads lanes from a C-ordered array of any shape, from the element number `offset`
   of the flattened array on; `store(array, offset, vector)` writes them. NEITHER CHECKS BOUNDS. Where a
   row is no multiple of the lanes, let the last vector begin at `width - lanes`: it overlaps the one before
   and writes the same values twice.
   `prefetch(kind, array, offset)` asks for what a later load will read: where rows are gathered, AHEAD edges before.
3. `+ - * & | << >>` work lane by lane, between vectors of one type or a vector and a number. Integers wrap around.
   Floats divide, too. `clamp(v, lowest, highest)` does what it says; `multiply_add(v, number, w)` rounds once, which
   kernels of codes must not.
4. `to_u8`, `to_i8`, `to_u16`, `to_i16`, `to_i32`, `to_f32` convert the lanes: integers keep their low bits, float32
   becomes i32 by rounding half to even (NaN and what i32 cannot hold become its smallest number).
   `reinterpret(kind, v)` reads the same bits as lanes of another kind. In app/engine/simd/narrowing.py:
   `to_codes(v, zero, largest)` ends every epilogue: float32 -> u8, rounded and clamped; `narrow` packs i32 into i16,
   clamped, in an order that `widen` undoes: for sums in 16 bits.
   `look_up(table, v)` is table[v] for tables of sixteen bytes (`load_sixteen`).
5. Sums of products: `dot(how, total, a, b)` in dots.py, how: VNNI_DOT, WORDS_DOT or BYTES_DOT (see there
   which is exact when).
6. Accumulators are local variables: `total = zeros(I32x32)`, then `total = total + ...`; never arrays.
7. Write the plain kernel first (kernels/plain.py), then the one with vectors, and test both against the reference
   with atol=0. Index arrays in place: a slice costs a reference count. No fastmath.
8. Functions a kernel calls are global names, or arguments of a `part`; one that it closes over has another identity in
   every process, and the kernel would be compiled again in each. Types may be closed over.

`gather` reads the elements of an array whose numbers are lanes; `larger` is the greater of two lanes.
Whether this CPU has them say `AVX2`, `AVX512`, `FMA`, `VNNI`; without AVX2 nothing of this is used.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def,misc"
import operator

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic

from ..buffers import CACHE_LINE
from .lowering import (
    AVX2,
    AVX512,
    ELEMENTS,
    FMA,
    VNNI,
    Vector,
    address,
    by_register,
    function_named,
    joined,
    nearest,
    picked,
    splat,
)

__all__ = [
    "AVX2", "AVX512", "FMA", "VNNI", "Vector", "clamp", "gather", "larger",
    "load", "load_four", "load_group", "load_sixteen", "look_up", "multiply_add", "prefetch", "reinterpret", "store",
    "to_f32", "to_i8", "to_i16", "to_i32", "to_u8", "to_u16", "zeros",
]  # fmt: skip

# Memory.


@intrinsic
def zeros(typing_context, kind):
    """A vector of zeros."""
    vector = kind.instance_type
    return vector(kind), lambda context, builder, signature, args: ir.Constant(vector.llvm, None)


@intrinsic
def load(typing_context, kind, array, offset):
    """Lanes of `array` from element number `offset` on."""
    vector = kind.instance_type

    def generate(context, builder, signature, args):
        where = address(context, builder, signature.args[1], args[1], args[2], vector.llvm)
        value = builder.load(where)
        value.align = 1
        return value

    return vector(kind, array, types.intp), generate


@intrinsic
def store(typing_context, array, offset, vector):
    """Writes lanes to `array` from element number `offset` on."""

    def generate(context, builder, signature, args):
        written = builder.store(args[2], address(context, builder, signature.args[0], args[0], args[1], args[2].type))
        written.align = 1
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def load_group(typing_context, kind, array, offset):
    """The four bytes of `array` from element number `offset` on, again and again in all lanes."""
    vector = kind.instance_type
    words = Vector("i32", vector.lanes // 4)

    def generate(context, builder, signature, args):
        word = builder.load(address(context, builder, signature.args[1], args[1], args[2], ir.IntType(32)))
        word.align = 1
        return builder.bitcast(splat(builder, word, words), vector.llvm)

    return vector(kind, array, types.intp), generate


@intrinsic
def load_four(typing_context, kind, array, a, b, c, d):
    """Elements number a, b, c, d of `array`, each again and again in a quarter of the lanes."""
    vector = kind.instance_type
    quarter = Vector(vector.element, vector.lanes // 4)

    def generate(context, builder, signature, args):
        element = ELEMENTS[vector.element]
        where = [address(context, builder, signature.args[1], args[1], offset, element) for offset in args[2:]]
        return joined(builder, [splat(builder, builder.load(pointer), quarter) for pointer in where])

    return vector(kind, array, types.intp, types.intp, types.intp, types.intp), generate


@intrinsic
def load_sixteen(typing_context, kind, array, offset):
    """The sixteen bytes of `array` from element number `offset` on, again and again in all lanes (a part, if fewer)."""
    vector = kind.instance_type
    sixteen = Vector(vector.element, 16)

    def generate(context, builder, signature, args):
        value = builder.load(address(context, builder, signature.args[1], args[1], args[2], sixteen.llvm))
        value.align = 1
        return picked(builder, value, [lane % 16 for lane in range(vector.lanes)])

    return vector(kind, array, types.intp), generate


@intrinsic
def gather(typing_context, kind, array, numbers):
    """Elements of `array` by their numbers, i32, one a lane."""
    vector = kind.instance_type
    if numbers != Vector("i32", vector.lanes):
        return None

    def generate(context, builder, signature, args):
        element = ELEMENTS[vector.element]
        first = address(context, builder, signature.args[1], args[1], ir.Constant(ir.IntType(64), 0), element)
        lanes = []
        for lane in range(vector.lanes):
            number = builder.extract_element(args[2], ir.Constant(ir.IntType(32), lane))
            lanes.append(builder.load(builder.gep(first, [builder.zext(number, ir.IntType(64))])))
        value = ir.Constant(vector.llvm, ir.Undefined)
        for lane, loaded in enumerate(lanes):
            value = builder.insert_element(value, loaded, ir.Constant(ir.IntType(32), lane))
        return value

    return vector(kind, array, numbers), generate


@intrinsic
def prefetch(typing_context, kind, array, offset):
    """Asks for the cache lines that `load(kind, array, offset)` will read; unlike it, may name any offset."""
    vector = kind.instance_type

    def generate(context, builder, signature, args):
        byte = ir.IntType(8)
        first = address(context, builder, signature.args[1], args[1], args[2], byte)
        settings = [ir.Constant(ir.IntType(32), number) for number in (0, 3, 1)]  # to read, into all caches, data
        for line in range(-(-vector.bits // (8 * CACHE_LINE))):
            where = builder.gep(first, [ir.Constant(ir.IntType(64), line * CACHE_LINE)])
            arguments = [where, *settings]
            builder.call(function_named(builder, "llvm.prefetch.p0", ir.VoidType(), arguments), arguments)
        return context.get_dummy_value()

    return types.void(kind, array, types.intp), generate


# Operators: between vectors of one type, or a vector and a number.

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
    def generic(self, args, keywords):
        left, right = args
        if isinstance(left, Vector) and (left == right or isinstance(right, types.Number)):
            if self.key not in (_FLOAT if left.is_float else _INTEGER | {operator.rshift: ""}):
                return None
            number = types.float32 if left.is_float else types.int32
            return signature(left, left, left if left == right else number)
        return None


def _lower(symbol) -> None:
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
    """min(max(v, lowest), highest) of lanes with a sign."""
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
def larger(typing_context, vector, other):
    """The larger of every two lanes, whole numbers."""
    if vector != other or vector.is_float:
        return None

    def generate(context, builder, signature, args):
        compare = builder.icmp_signed if vector.element[0] == "i" else builder.icmp_unsigned
        return builder.select(compare(">", *args), *args)

    return vector(vector, vector), generate


@intrinsic
def multiply_add(typing_context, vector, number, addend):
    """vector * number + addend of float32 lanes, rounded once (where the CPU has FMA, else twice)."""
    if vector != addend or not vector.is_float:
        return None

    def generate(context, builder, signature, args):
        name, operands = f"llvm.fma.v{vector.lanes}f32", [args[0], splat(builder, args[1], vector), args[2]]
        if not FMA:
            return builder.fadd(builder.fmul(*operands[:2]), args[2])
        return builder.call(function_named(builder, name, vector.llvm, operands), operands)

    return vector(vector, types.float32, vector), generate


_PSHUFB = {128: "llvm.x86.ssse3.pshuf.b.128", 256: "llvm.x86.avx2.pshuf.b", 512: "llvm.x86.avx512.pshuf.b.512"}


@intrinsic
def look_up(typing_context, table, numbers):
    """table[number] for numbers 0 to 15, u8: every sixteen lanes look into the sixteen lanes of `table` above them."""
    if table != numbers or table.element != "u8" or table.lanes < 16:
        return None
    return table(table, numbers), lambda context, builder, signature, args: by_register(builder, _PSHUFB, table, *args)


# Conversions. The CPU's rounding mode is half to even unless somebody changes it, and nobody here does.


def _convert(builder, value, source: Vector, target: Vector):
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
    """The same bits as another type."""
    target = kind.instance_type
    if target.bits != vector.bits:
        return None
    return target(kind, vector), lambda context, builder, signature, args: builder.bitcast(args[1], target.llvm)
