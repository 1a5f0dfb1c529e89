"""Graph convolutions, one a file: `forward`, and under it `lower`.

For models.layers.
"""
