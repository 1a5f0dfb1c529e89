"""Quantizers, range observers, protection masks and the integer program: no PyG and no Lightning below here."""
