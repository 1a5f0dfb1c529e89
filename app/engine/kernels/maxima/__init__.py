"""Kernels that take the maximum of rows over edges: plain ones, and the same on vectors.

For dispatch.py.
"""
