"""FP32 networks with the weights of ours: what the engine is compared with.

For benchmarks and the demo.
"""
