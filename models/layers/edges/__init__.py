"""What a network may be given, and what edges carry beside their ends, for `models/layers/graph.py`."""
