"""The ops of a program: their definition in NumPy, their compiled form, and how compiled ops run together in stages.

For the executor.
"""
