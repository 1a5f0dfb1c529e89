"""The data sets, one a file.

For the package above, which names them all.
"""
