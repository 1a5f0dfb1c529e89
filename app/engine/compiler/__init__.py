"""What numba does to compile kernels and their pieces, less what these do not need."""
