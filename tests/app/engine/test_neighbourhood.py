"""Parts of a graph: what a program computes of them is what it computes of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from app.engine import Executable, Graph
from tests.app.engine.programs import NODE_PROGRAMS, PROGRAMS, WEIGHTED_PROGRAMS

NODES, WIDTH = 400, 20
WANTED = [17, 3, 250, 3, 399, 0]


def whole_and_x(make):
    """A graph of few edges, whose parts are small; a tenth are self-loops, and some edges occur twice."""
    maker = make(5)
    edges = maker.rng.integers(0, NODES, (2, 700))
    edges[1, ::10] = edges[0, ::10]
    edges[:, 1:40] = edges[:, 41:80]
    graph = Graph(edges, NODES, edge_weight=maker.rng.uniform(0, 1, 700))
    return graph, maker.rng.normal(size=(NODES, WIDTH)).astype(np.float32)


def results(executable, x, graph, weighted):
    if not weighted and graph.weights is not None:
        edges = graph.adjacency(self_loops=False)
        graph = Graph(np.stack([edges.sources, edges.targets]), graph.num_nodes)
    return executable.run(x, graph)


@pytest.mark.parametrize("kind", [*NODE_PROGRAMS, *WEIGHTED_PROGRAMS])
def test_a_part_gives_the_results_of_the_whole_graph(make, make_program, kind):
    """Exactly, for programs of every kind; from one hop less, it does not."""
    executable, weighted = Executable(make_program(kind, WIDTH)), kind in WEIGHTED_PROGRAMS
    graph, x = whole_and_x(make)
    expected = results(executable, x, graph, weighted)
    part = graph.neighbourhood(WANTED, executable.hops)
    assert part.graph.num_nodes < NODES
    np.testing.assert_array_equal(part.nodes[part.rows], WANTED)
    np.testing.assert_array_equal(results(executable, x[part.nodes], part.graph, weighted)[part.rows], expected[WANTED])
    everyone = np.arange(NODES)
    short = [graph.neighbourhood([node], executable.hops - 1) for node in everyone]
    got = [results(executable, x[part.nodes], part.graph, weighted)[part.rows][0] for part in short]
    assert (np.array(got) != expected).any()


def test_degrees_at_the_frontier_count(make_program):
    """Two layers gather over two hops; where sources' degrees scale, one hop more decides."""
    hops = {kind: Executable(make_program(kind, WIDTH)).hops for kind in ("gin", "sage", "gat", "gcn_edge")}
    assert hops == {"gin": 2, "sage": 2, "gat": 2, "gcn_edge": 3}
    assert Executable(make_program("gcn_factored", WIDTH)).hops == 3
    assert Executable(make_program("graph_gin", WIDTH)).hops is None


def test_a_part_is_what_its_hops_say():
    path = Graph([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]], 7)
    part = path.neighbourhood(np.int8([4]), 2)
    assert part.nodes.tolist() == [2, 3, 4]
    assert part.rows.tolist() == [2]
    assert part.graph.num_edges == 2
    assert path.neighbourhood([4, 6], 0).nodes.tolist() == [4, 6]
    assert path.neighbourhood([], 3).graph.num_nodes == 0


@pytest.mark.parametrize(
    ("nodes", "hops", "sentence"),
    [
        ([7], 1, r"^nodes: node 7 is outside 0\.\.6"),
        ([-1], 1, r"^nodes: node -1 is outside"),
        ([1.5], 1, r"^nodes: expected whole numbers \[n\], got float64"),
        ([[1]], 1, r"^nodes: expected whole numbers \[n\], got int64 \[1, 1\]"),
        ([1], 1.0, r"^hops: expected a whole number"),
        ([1], None, r"^hops: expected a whole number"),
    ],
)
def test_refused_parts(nodes, hops, sentence):
    with pytest.raises(ValueError, match=sentence):
        Graph([[0], [1]], 7).neighbourhood(nodes, hops)


@pytest.mark.parametrize("kind", [*PROGRAMS])
def test_graphs_of_a_batch_that_are_kept_apart_are_as_alone(make_program, make, kind):
    """What the property promises holds; and it is not promised where it does not."""
    executable, rng = Executable(make_program(kind, 8)), make(2).rng
    sizes = [5, 9, 14]
    xs = [rng.normal(size=(n, 8)).astype(np.float32) for n in sizes]
    edges = [rng.integers(0, n, (2, 3 * n)) for n in sizes]
    alone = np.concatenate([executable.run(x, each) for x, each in zip(xs, edges, strict=True)])
    moved = np.concatenate([each + start for each, start in zip(edges, (0, 5, 14), strict=True)], axis=1)
    together = executable.run(np.concatenate(xs), moved, np.repeat(range(3), sizes))
    assert executable.keeps_graphs_apart == np.array_equal(together, alone) == (kind != "normed")
