"""What edges carry beside their ends, for `models/layers/graph.py`."""
