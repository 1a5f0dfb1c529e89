"""The FP32 and FP16 peers of programs on a GPU: sums over edges in a kernel of our own, products by torch."""
