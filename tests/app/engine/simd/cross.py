"""Prints the instructions that kernels become on a 64-bit ARM with the instruction sets in the first argument.

Numba generates code for the machine it runs on. Here it is told another one, and never runs what it compiled.
"""

from __future__ import annotations

import sys

import llvmlite.binding as llvm
from numba import types
from numba.core import caching, codegen, cpu
from numba.core.compiler_lock import global_compiler_lock


class ForARM(codegen.AOTCPUCodegen):
    """Generates code for an ARM that any machine can write down."""

    def _customize_tm_features(self):
        return sys.argv[1]

    def magic_tuple(self):
        return llvm.get_process_triple(), "generic", sys.argv[1]


def assembly(kernel, kinds):
    kernel._cache = caching.NullCache()
    type(kernel).compile(kernel, kinds)
    library = kernel.overloads[kinds].library
    with global_compiler_lock:
        library._ensure_finalized()
    return library.get_asm_str()


def main():
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.get_process_triple = lambda: "aarch64-unknown-linux-gnu"
    codegen.JITCPUCodegen = ForARM
    cpu.CPUContext.get_executable = lambda *_: [].append  # numba knows functions apart by what can be called

    from app.engine.kernels import products, sums
    from app.engine.simd import dots

    codes, words, factors = types.uint8[:, ::1], types.int32[:, ::1], types.float32[::1]
    grid = types.int64, types.float32, types.float32
    weight = types.Array(types.int8, 4, "C"), words
    linear = products.linear(dots.DOTS[-1], products.WIDEST)
    print(assembly(linear, (codes, *weight, factors, factors, factors, *grid, codes)))
    print("the next kernel")
    edges = types.int64[::1], types.int32[::1]
    scaling = types.float32, types.none, factors
    print(assembly(sums.sum_rows(wide=True, rest=32), (codes, types.int64, *edges, *scaling, *grid, codes)))


if __name__ == "__main__":
    main()
