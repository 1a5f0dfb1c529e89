"""A single run, from its settings to its result: folder, lock, training, evaluation, exactness.

Used by reports and the rooms above it.
"""
