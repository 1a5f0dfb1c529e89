"""The numba type of vectors and how operations on them become LLVM; for writers of operations (vectors.py)."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN002, ANN201
# mypy: disable-error-code="no-untyped-def,misc"
from collections.abc import Mapping

from llvmlite import binding, ir
from numba.core import types
from numba.extending import models, register_model
from numba.np import arrayobj

_FEATURES = binding.get_host_cpu_features()
AVX2 = bool(_FEATURES.get("avx2"))
AVX512 = AVX2 and all(_FEATURES.get(name) for name in ("avx512f", "avx512bw", "avx512vl"))
VNNI = AVX512 and bool(_FEATURES.get("avx512vnni"))
FMA = bool(_FEATURES.get("fma"))
"""What this CPU can do."""

REGISTER_BITS = 512 if AVX512 else 256

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
    """The numba type of `lanes` numbers; in LLVM a vector of them."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"{element}x{lanes}")

    def __reduce__(self) -> tuple:
        """Without the number that numba gives types in order of appearance: it would void the cache of kernels."""
        return Vector, (self.element, self.lanes)

    @property
    def llvm(self) -> ir.VectorType:
        """The type in LLVM."""
        return ir.VectorType(ELEMENTS[self.element], self.lanes)

    @property
    def bits(self) -> int:
        """Size."""
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
    """A vector with a number known now in every lane."""
    return ir.Constant(vector.llvm, [number] * vector.lanes)


def splat(builder, number, vector: Vector):
    """A vector with `number` in every lane."""
    one = builder.insert_element(ir.Constant(vector.llvm, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, _mask([0] * vector.lanes))


def by_register(
    builder, names: Mapping[int, str], result: Vector, *operands, settings: Mapping[int, list] | None = None
):
    """Calls an LLVM function of one register on the parts of operands that are longer, or shorter.

    `names`: the function for registers of so many bits; `settings`: what else it is told, behind the operands.
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


_NEAREST = {256: "llvm.x86.avx.cvt.ps2dq.256", 512: "llvm.x86.avx512.mask.cvtps2dq.512"}


def nearest(builder, value, integers: Vector):
    """float32 lanes as i32, rounded half to even; NaN and what i32 cannot hold become its smallest number."""
    sixteen = ir.VectorType(ir.IntType(32), 16)
    unmasked = [ir.Constant(sixteen, None), ir.Constant(ir.IntType(16), -1), ir.Constant(ir.IntType(32), 4)]
    return by_register(builder, _NEAREST, integers, value, settings={512: unmasked})


def function_named(builder, name: str, result, arguments):
    """An LLVM function of these arguments, declared where the module has none of that name yet."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)


def _mask(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


def split(builder, value, first: int, count: int):
    """Lanes first..first+count-1 of `value`; zeros from its end on."""
    return picked(builder, value, [min(lane, value.type.count) for lane in range(first, first + count)])


def picked(builder, value, lanes: list[int]):
    """Those lanes of `value`; the one behind its last is zero."""
    return builder.shuffle_vector(value, ir.Constant(value.type, None), _mask(lanes))


def joined(builder, parts):
    """The lanes of all parts, a power of two of them, one after the other."""
    while len(parts) > 1:
        mask = _mask(list(range(2 * parts[0].type.count)))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [builder.shuffle_vector(first, second, mask) for first, second in pairs]
    return parts[0]


def address(context, builder, array_type, array, offset, pointee):
    """Pointer to element number `offset` of a C-ordered array, read as `pointee`."""
    if array_type.layout != "C":
        raise TypeError("vectors are loaded from and stored to C-ordered arrays")
    data = arrayobj.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), pointee.as_pointer())
