"""Evaluation of a large graph in blocks of rows.

For models.layers.
"""
