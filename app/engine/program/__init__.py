"""The integer program: grids, ops, rules, and programs on disk.

The engine's own language. Models write programs in it.
"""
