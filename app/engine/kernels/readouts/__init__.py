"""Kernels of readouts: products whose results are float32."""
