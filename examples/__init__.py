"""Networks as one would bring them along."""
