"""The ops of a program: their definition, their compiled form, and stages of them.

For the executor.
"""
