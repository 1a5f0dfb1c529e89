"""FP32 networks with the weights of ours, with which benchmarks compare the engine.

A file for each convolution says all that benchmarks need to know of it. Benchmarks and the demo may import this.
"""
