"""Measures time and memory of the engine, of FP32 peers and of training, compared in the same run.

The command line and the demo may import it.
"""
