"""The numba type of vectors, and helpers to generate LLVM code for operations on them."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN002, ANN201
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"
from collections.abc import Callable, Mapping
from typing import Any

import numba.extending
from llvmlite import ir
from numba.core import types
from numba.extending import models, register_model
from numba.np import arrayobj

from .target import NEON, REGISTER_BITS

intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.extending.intrinsic
"""Numba's decorator. What it returns is called in kernels, without the typing context and with vectors."""

ELEMENTS = {
    "u8": ir.IntType(8),
    "i8": ir.IntType(8),
    "u16": ir.IntType(16),
    "i16": ir.IntType(16),
    "i32": ir.IntType(32),
    "f32": ir.FloatType(),
}
BITS = {"u8": 8, "i8": 8, "u16": 16, "i16": 16, "i32": 32, "f32": 32}


class Vector(types.Type):
    """The numba type of a vector of `lanes` numbers."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"{element}x{lanes}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles without the number that numba gives types in order of creation, which would void cached kernels."""
        return Vector, (self.element, self.lanes)

    @property
    def llvm(self) -> ir.VectorType:
        """The type in LLVM."""
        return ir.VectorType(ELEMENTS[self.element], self.lanes)

    @property
    def bits(self) -> int:
        """Size in bits."""
        return BITS[self.element] * self.lanes

    @property
    def is_float(self) -> bool:
        """Whether lanes are float32."""
        return self.element == "f32"


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector: Vector) -> None:
        super().__init__(manager, vector, vector.llvm)


def constant(vector: Vector, number: float) -> ir.Constant:
    """Returns a vector with the same number, a constant, in every lane."""
    return ir.Constant(vector.llvm, [number] * vector.lanes)


def splat(builder, number, vector: Vector):
    """Returns a vector with `number`, an LLVM value, in every lane."""
    one = builder.insert_element(ir.Constant(vector.llvm, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, _mask([0] * vector.lanes))


def by_register(
    builder, names: Mapping[int, str], result: Vector, *operands, settings: Mapping[int, list[Any]] | None = None
):
    """Applies an LLVM function that takes registers to operands that are longer or shorter than a register.

    Args:
        names: the function for each size of register, in bits.
        result: the type of the result.
        settings: further arguments of the function, after the operands, for each size of register.
    """
    bits = max(bits for bits in names if bits == min(names) or bits <= min(result.bits, REGISTER_BITS))
    per_register = bits // BITS[result.element]
    full = Vector(result.element, per_register).llvm
    parts = []
    for first in range(0, result.lanes, per_register):
        arguments = []
        for operand in operands:
            ratio = operand.type.count / result.lanes
            arguments.append(split(builder, operand, int(first * ratio), int(per_register * ratio)))
        arguments += (settings or {}).get(bits, [])
        parts.append(builder.call(function_named(builder, names[bits], full, arguments), arguments))
    return split(builder, joined(builder, parts), 0, result.lanes)


_NEAREST = {
    128: "llvm.aarch64.neon.fcvtns.v4i32.v4f32" if NEON else "llvm.x86.sse2.cvtps2dq",
    256: "llvm.x86.avx.cvt.ps2dq.256",
    512: "llvm.x86.avx512.mask.cvtps2dq.512",
}


def nearest(builder, value, integers: Vector):
    """Returns float32 lanes as i32, rounded half to even.

    What NaN and numbers that i32 cannot hold become depends on the CPU: x86 takes the smallest number, ARM zero and
    the nearest number.
    """
    sixteen = ir.VectorType(ir.IntType(32), 16)
    unmasked = [ir.Constant(sixteen, None), ir.Constant(ir.IntType(16), -1), ir.Constant(ir.IntType(32), 4)]
    return by_register(builder, _NEAREST, integers, value, settings={512: unmasked})


def function_named(builder, name: str, result, arguments):
    """Returns the LLVM function of that name; declares it if the module does not have it yet."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)


def _mask(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


def split(builder, value, first: int, count: int):
    """Returns lanes first..first+count-1 of `value`, zeros beyond its end."""
    return picked(builder, value, [min(lane, value.type.count) for lane in range(first, first + count)])


def picked(builder, value, lanes: list[int]):
    """Returns the given lanes of `value`; the number after its last lane stands for zero."""
    return builder.shuffle_vector(value, ir.Constant(value.type, None), _mask(lanes))


def joined(builder, parts):
    """Returns the lanes of all parts, one after the other; the number of parts must be a power of two."""
    while len(parts) > 1:
        mask = _mask(list(range(2 * parts[0].type.count)))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [builder.shuffle_vector(first, second, mask) for first, second in pairs]
    return parts[0]


def address(context, builder, array_type, array, *, offset, pointee):
    """Returns a pointer to element `offset` of a C-ordered array, as a pointer to the LLVM type `pointee`."""
    if array_type.layout != "C":
        raise TypeError("vectors are loaded from and stored to C-ordered arrays")
    data = arrayobj.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), pointee.as_pointer())
