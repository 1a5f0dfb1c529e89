"""Measures time and memory of the engine, of FP32 peers and of training, compared in the same run.

The command line and the demo may import it.
"""

import os

# OpenBLAS reads it when NumPy is loaded: for how many cycles (a power of two) threads that have nothing to do keep a
# core busy. By default it is tens of milliseconds, which the candidate that is timed next would pay for.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
