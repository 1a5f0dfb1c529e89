"""What numba generates code for: instruction sets, and the registers that vectors lie in. See vectors.py."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-call"
from typing import Any

from numba.core import config
from numba.core.registry import cpu_target


def _of_numba() -> tuple[str, frozenset[str]]:
    """Returns the family of processors and the instruction sets that numba generates code for: none if it does not.

    That is not always what the CPU has: NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX choose less, and LLVM
    would abort the process at an instruction that its target lacks.
    """
    settings: Any = config
    if settings.DISABLE_JIT:
        return "", frozenset()
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return triple.partition("-")[0], frozenset(item[1:] for item in features.split(",") if item.startswith("+"))


_FAMILY, _SETS = _of_numba()

X86 = _FAMILY in ("x86_64", "amd64")
SSSE3 = X86 and "ssse3" in _SETS
AVX2 = X86 and "avx2" in _SETS
AVX512 = AVX2 and {"avx512f", "avx512bw", "avx512vl"} <= _SETS
VNNI = (AVX512 and "avx512vnni" in _SETS) or (AVX2 and "avxvnni" in _SETS)

NEON = _FAMILY in ("aarch64", "arm64")
DOTPROD = NEON and "dotprod" in _SETS
I8MM = NEON and "i8mm" in _SETS

FMA = NEON or "fma" in _SETS
"""The instruction sets that kernels may use. Every x86-64 has SSE2, every 64-bit ARM has NEON."""

VECTORS = X86 or NEON
"""Whether kernels may use vectors."""

REGISTER_BITS = 512 if AVX512 else 256 if AVX2 else 128
REGISTERS = 32 if AVX512 or NEON else 16
"""Size and number of vector registers."""
