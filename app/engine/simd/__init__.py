"""Vectors as values of numba kernels.

For kernels.
"""
