"""Operations that move vectors between registers and memory. See vectors.py."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
from llvmlite import ir
from numba.core import cgutils, types

from ..buffers import CACHE_LINE
from .lowering import ELEMENTS, Vector, address, function_named, intrinsic, joined, picked, splat


@intrinsic
def zeros(typing_context, kind):
    """Returns a vector of zeros."""
    vector = kind.instance_type
    return vector(kind), lambda context, builder, signature, args: ir.Constant(vector.llvm, None)


@intrinsic
def load(typing_context, kind, array, offset):
    """Returns the lanes of `array` that begin at element `offset`."""
    vector = kind.instance_type

    def generate(context, builder, signature, args):
        where = address(context, builder, signature.args[1], args[1], offset=args[2], pointee=vector.llvm)
        value = builder.load(where)
        value.align = 1
        return value

    return vector(kind, array, types.intp), generate


@intrinsic
def store(typing_context, array, offset, vector):
    """Writes lanes to `array`, beginning at element `offset`."""

    def generate(context, builder, signature, args):
        where = address(context, builder, signature.args[0], args[0], offset=args[1], pointee=args[2].type)
        written = builder.store(args[2], where)
        written.align = 1
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def store_first(typing_context, array, offset, vector, count):
    """Writes the first `count` lanes to `array`, beginning at element `offset`."""

    def generate(context, builder, signature, args):
        _, offset, lanes, number = args
        size = signature.args[2].bits // signature.args[2].lanes // 8
        where = address(context, builder, signature.args[0], args[0], offset=offset, pointee=ir.IntType(8))
        memory = cgutils.alloca_once(builder, lanes.type)
        builder.store(lanes, memory)
        cgutils.raw_memcpy(builder, where, builder.bitcast(memory, where.type), number, size)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), generate


@intrinsic
def load_group(typing_context, kind, array, offset):
    """Returns the four bytes of `array` that begin at element `offset`, repeated over all lanes."""
    vector = kind.instance_type
    words = Vector("i32", vector.lanes // 4)

    def generate(context, builder, signature, args):
        where = address(context, builder, signature.args[1], args[1], offset=args[2], pointee=ir.IntType(32))
        word = builder.load(where)
        word.align = 1
        return builder.bitcast(splat(builder, word, words), vector.llvm)

    return vector(kind, array, types.intp), generate


@intrinsic
def load_four(typing_context, kind, array, a, b, c, d):
    """Returns elements a, b, c and d of `array`, each repeated over a quarter of the lanes."""
    vector = kind.instance_type
    quarter = Vector(vector.element, vector.lanes // 4)

    def generate(context, builder, signature, args):
        pointee = ELEMENTS[vector.element]
        where = [
            address(context, builder, signature.args[1], args[1], offset=offset, pointee=pointee) for offset in args[2:]
        ]
        return joined(builder, [splat(builder, builder.load(pointer), quarter) for pointer in where])

    return vector(kind, array, types.intp, types.intp, types.intp, types.intp), generate


@intrinsic
def load_sixteen(typing_context, kind, array, offset):
    """Returns the sixteen bytes of `array` that begin at element `offset`, repeated (or cut) to fill the lanes."""
    vector = kind.instance_type
    sixteen = Vector(vector.element, 16)

    def generate(context, builder, signature, args):
        where = address(context, builder, signature.args[1], args[1], offset=args[2], pointee=sixteen.llvm)
        value = builder.load(where)
        value.align = 1
        return picked(builder, value, [lane % 16 for lane in range(vector.lanes)])

    return vector(kind, array, types.intp), generate


@intrinsic
def gather(typing_context, kind, array, rows, numbers, offset):
    """Returns the elements rows[lane] + numbers[offset + lane] of `array`; rows: lanes i32, numbers: an array of bytes.

    The bytes are read one by one: taking lanes out of a vector keeps the unit busy that puts what is read into one.
    """
    vector = kind.instance_type
    if rows != Vector("i32", vector.lanes):
        return None

    def generate(context, builder, signature, args):
        start, wide, pointee = ir.Constant(ir.IntType(64), 0), ir.IntType(64), ELEMENTS[vector.element]
        first = address(context, builder, signature.args[1], args[1], offset=start, pointee=pointee)
        byte = address(context, builder, signature.args[3], args[3], offset=args[4], pointee=ELEMENTS["u8"])
        value = ir.Constant(vector.llvm, ir.Undefined)
        for lane in range(vector.lanes):
            where = ir.Constant(ir.IntType(32), lane)
            row = builder.zext(builder.extract_element(args[2], where), wide)
            number = builder.zext(builder.load(builder.gep(byte, [ir.Constant(wide, lane)])), wide)
            loaded = builder.load(builder.gep(first, [builder.add(row, number)]))
            value = builder.insert_element(value, loaded, where)
        return value

    return vector(kind, array, rows, numbers, types.intp), generate


@intrinsic
def prefetch(typing_context, kind, array, offset):
    """Requests the cache lines that `load(kind, array, offset)` would read; any offset is allowed."""
    vector = kind.instance_type

    def generate(context, builder, signature, args):
        byte = ir.IntType(8)
        first = address(context, builder, signature.args[1], args[1], offset=args[2], pointee=byte)
        settings = [ir.Constant(ir.IntType(32), number) for number in (0, 3, 1)]  # to read, into all caches, data
        for line in range(-(-vector.bits // (8 * CACHE_LINE))):
            where = builder.gep(first, [ir.Constant(ir.IntType(64), line * CACHE_LINE)])
            arguments = [where, *settings]
            builder.call(function_named(builder, "llvm.prefetch.p0", ir.VoidType(), arguments), arguments)
        return context.get_dummy_value()

    return types.void(kind, array, types.intp), generate
