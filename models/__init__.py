"""Quantized graph networks: layers, quantization, architectures, tasks; and `prepare` for networks of others."""

from models.conversion import UnsupportedModel, prepare

__all__ = ["UnsupportedModel", "prepare"]
