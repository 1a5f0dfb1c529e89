"""Vectors in numba kernels: values that live in registers and are used like NumPy arrays.

How to write a kernel with them:

1. A vector type has an element ("u8", "i8", "u16", "i16", "i32" or "f32") and a number of lanes: `Vector("i32", 32)`.
   Make the types you need at module level; in a kernel they are arguments: `zeros(I32x32)`. A vector may be longer
   than a register: LLVM splits it over several, and their operations do not wait for each other. 128 bytes is a
   good size; what stays in registers through a loop takes half of them at most.
2. `load(kind, array, offset)` reads the lanes from a C-ordered array of any shape, beginning at element `offset` of the
   flattened array; `store(array, offset, vector)` writes them. NEITHER CHECKS BOUNDS. Where the width of a row is no
   multiple of the lanes, begin the last vector at `width - lanes`: it overlaps the one before and writes the same
   values twice; where that cannot be, `store_first` writes some of the lanes. `prefetch(kind, array, offset)` requests
   what a later load will read; call it AHEAD edges before the load where rows are gathered.
3. `+ - * & | << >>` work lane by lane, on two vectors of one type or on a vector and a number. Integers wrap around;
   floats can also be divided. `clamp(v, lowest, highest)` limits every lane and `larger(v, w)` takes the greater of
   two; `sum_lanes(v)` adds up i32 lanes. `multiply_add(v, number, w)` rounds once, so kernels that compute codes must
   not use it. `least(i, j)` is the smaller of two numbers.
4. `to_u8`, `to_i8`, `to_u16`, `to_i16`, `to_i32` and `to_f32` convert the lanes. Integers keep their low bits; float32
   becomes i32 by rounding half to even (NaN and what i32 cannot hold: any number).
   `reinterpret(kind, v)` reads the same bits as lanes of another type. In narrowing.py: `to_codes(v, zero, largest)`
   ends an epilogue, from float32 to rounded and clamped u8; `narrow` packs i32 into i16, clamped, in an order that
   `widen` undoes, for sums in 16 bits.
5. `look_up(table, v)` is table[v] for a table of sixteen bytes (`load_sixteen`).
   `gather(kind, array, rows, numbers, at)` reads the elements whose numbers are the lanes of `rows` plus the bytes of
   `numbers` from element `at` on.
6. `dot(how, total, a, b)` in dots.py adds up products of bytes; DOTS are the ways that this CPU has, and each says
   when it is exact.
7. Accumulators are local variables, never arrays: `total = zeros(I32x32)`, then `total = total + ...`.
8. Write the plain kernel first (kernels/plain.py), then the one with vectors, and test both against the reference
   with atol=0. Index arrays in place, since a slice costs a reference count. Do not use fastmath.
9. A kernel calls functions by global names, or gets them as arguments of a `part`. A function that it closes over has
   another identity in every process, so that the kernel would be compiled again in each. Types may be closed over.

`VECTORS` tells whether kernels may use vectors: on x86-64 and 64-bit ARM. `REGISTER_BITS` and `REGISTERS` say how many
numbers stay in registers at once; target.py has the instruction sets.
"""

from __future__ import annotations

from .arithmetic import (
    clamp,
    larger,
    least,
    look_up,
    multiply_add,
    reinterpret,
    sum_lanes,
    to_f32,
    to_i8,
    to_i16,
    to_i32,
    to_u8,
    to_u16,
)
from .lowering import Vector
from .memory import gather, load, load_four, load_group, load_sixteen, prefetch, store, store_first, zeros
from .target import REGISTER_BITS, REGISTERS, VECTORS

__all__ = [
    "REGISTERS", "REGISTER_BITS", "VECTORS", "Vector", "clamp", "gather", "larger", "least",
    "load", "load_four", "load_group", "load_sixteen", "look_up", "multiply_add", "prefetch", "reinterpret", "store",
    "store_first", "sum_lanes", "to_f32", "to_i8", "to_i16", "to_i32", "to_u8", "to_u16", "zeros",
]  # fmt: skip
