"""Kernels of a GPU (Triton).

Conventions: codes are stored as on the CPU (see `app/engine/kernels/common.py`), values are contiguous rows; `zero`,
`lowest` and `highest` are those of the grid that is written. Names in capitals are constants of the compiled kernel:
ACC is the dtype of accumulators, and sizes are powers of two. No sum of floats has an order that chance decides.
Triton divides float32 approximately, so `div_rn` divides; launches forbid the compiler to fuse products with sums.
"""
