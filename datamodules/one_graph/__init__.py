"""One graph for all splits: whole, or in parts."""
