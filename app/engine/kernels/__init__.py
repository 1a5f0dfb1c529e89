"""Compiled kernels: loops over codes and float32 rows, as plain loops and on vectors.

For `ops`, for graphs, and for the benchmarks that compare with them. dispatch.py chooses a kernel; common.py states
what all have in common.
"""
