"""Measures what processor and memory allow, and how much of it the engine's kernels reach."""
