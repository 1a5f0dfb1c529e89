"""Kernels for attention logits whose non-linearity comes before the attention vector: plain ones, and on vectors.

For dispatch.py.
"""
