"""Small inputs: a whole program as one call into compiled code, which calls the kernels one after the other.

Python takes one to several microseconds for every call of a kernel, more than kernels take on a molecule.
"""
