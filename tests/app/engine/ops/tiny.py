"""A graph of five nodes for formulas spelled out with Python numbers."""

from __future__ import annotations

EDGES = [(1, 0), (2, 0), (1, 0), (3, 3), (0, 2), (2, 2), (3, 1)]
NODES = 5
BATCH = [2, 0, 2, 2, 0]
"""The graph of every node: not sorted, and none is of graph 1."""


def float32_code(value, grid):
    """Python's own round is half to even too."""
    return min(max(round(float(value)) + grid.zero_point, grid.qmin), grid.qmax)


def edges_into(node, self_loops):
    if not self_loops:
        return [s for s, t in EDGES if t == node]
    return [s for s, t in EDGES if t == node and s != t] + [node]


def degree(node):
    return len(edges_into(node, True))
