"""Compiled loops over codes and float32 rows, plain and on vectors.

For ops, the graph and the FP32 peer.
"""
