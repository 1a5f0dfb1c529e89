"""One run, from its settings to its result: folder, claim, training, evaluation, exactness.

For reports and the rooms above.
"""
