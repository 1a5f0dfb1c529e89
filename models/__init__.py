"""Quantization core, graph layers, architectures and tasks."""
