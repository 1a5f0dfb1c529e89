"""Runs programs on a GPU: kernels of ops in Triton, values as tensors of torch. The engine imports it only then."""
