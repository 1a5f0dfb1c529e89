"""One large graph: an epoch on the whole and in parts, and inference, in seconds and bytes."""
