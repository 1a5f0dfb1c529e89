"""Rounding in one pass: compiled kernels for float32 on a CPU, torch formulas for everything else.

For models.
"""
