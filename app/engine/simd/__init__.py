"""Vectors of numbers in numba kernels, built on LLVM's vector types. For `kernels` only; vectors.py is the guide."""
