"""How far a program looks: which part of a graph decides the results of a node."""

from __future__ import annotations

from .model import INPUT, OUTPUT, IntegerProgram, Op
from .rules import RULES


def hops(program: IntegerProgram) -> int | None:
    """Returns k such that a node's results depend on nodes within k edges, against their direction, and no others.

    Degrees count: where a coefficient holds the degree of a source, the edges into that source decide it, so that
    a GCN of two layers reaches three hops. None: the program has a row for every graph, or normalises over graphs.
    """
    over_graphs = any(op.attributes.get("over", "row") != "row" for op in program.ops)
    if program.values[OUTPUT].domain == "graph" or over_graphs:
        return None
    reach = {INPUT: 0}
    for op in program.ops:
        reach[op.output] = _reach(op, program, reach)
    return reach[OUTPUT]


def _reach(op: Op, program: IntegerProgram, reach: dict[str, int]) -> int:
    """Returns the reach of an op's result; that of a value of an edge is seen from the edge's target."""
    of_inputs = [(program.values[name].domain, reach[name]) for name in op.inputs]
    if "self_loops" in RULES[op.kind].attributes:  # along edges: rows of nodes are read at the edges' sources
        least = 2 if op.kind == "edge_norm" else 1  # it reads the degrees of sources
        return max([least, *(hops + (domain == "node") for domain, hops in of_inputs)])
    degrees = op.kind == "in_degree" or "row_scale" in op.attributes
    return max([int(degrees), *(hops for _, hops in of_inputs)])


def keeps_graphs_apart(program: IntegerProgram) -> bool:
    """Returns whether no op takes statistics over all graphs of a batch, or knows whether a batch was given."""
    statistics = [op.attributes for op in program.ops if op.kind == "normalize"]
    return not any(about["over"] == "all" or about.get("eps_beside", False) for about in statistics)
