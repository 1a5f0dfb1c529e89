"""Graphs: checks, CSR order, self-loops, degrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.engine import workers
from app.engine.graph import Graph, read_graph
from app.engine.reading import read_batch


def neighbours(adjacency):
    return [row.tolist() for row in np.split(adjacency.sources, adjacency.indptr[1:-1])]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_edges_are_grouped_by_target_in_the_order_given(make, dtype):
    edges = make(5).edges(100, 700).astype(dtype)
    adjacency = Graph(edges, 100).adjacency(self_loops=False)
    order = np.argsort(edges[1], kind="stable")
    np.testing.assert_array_equal(adjacency.sources, edges[0, order])
    np.testing.assert_array_equal(adjacency.targets, edges[1, order])
    np.testing.assert_array_equal(adjacency.degrees, np.bincount(edges[1], minlength=100))
    assert adjacency.num_edges == 700


def test_self_loops_are_replaced_by_one_at_the_end():
    graph = Graph([[1, 0, 2, 2, 0, 1], [0, 0, 0, 2, 0, 2]], 4)
    assert neighbours(graph.adjacency(self_loops=False)) == [[1, 0, 2, 0], [], [2, 1], []]
    assert neighbours(graph.adjacency(self_loops=True)) == [[1, 2, 0], [1], [1, 2], [3]]


@pytest.mark.parametrize("short", [0, 1 << 62])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_few_edges_are_read_as_many_are(monkeypatch, make, short, dtype):
    monkeypatch.setattr(workers, "SHORT", short)
    maker = make(1)
    edges = maker.edges(40, 300).astype(dtype)
    expected = [edges[0][edges[1] == node].tolist() for node in range(40)]
    assert neighbours(Graph(edges, 40).adjacency(self_loops=False)) == expected
    assert neighbours(Graph(edges[::-1].T.copy().T[::-1], 40).adjacency(self_loops=False)) == expected
    with pytest.raises(ValueError, match=r"^edge_index: node 39 is outside 0\.\.38"):
        Graph(np.concatenate([edges, edges * 0 + 39], axis=1, dtype=dtype), 39)
    batch = maker.rng.integers(0, 5, 40)
    expected = [np.flatnonzero(batch == number).tolist() for number in range(5)]
    assert neighbours(Graph(edges, 40, batch, 5).members) == expected
    assert neighbours(Graph(edges, 40).members) == [list(range(40))]


def test_the_norm_is_the_product_of_both_inverse_roots(make):
    edges = Graph(make(2).edges(300, 2000), 300).adjacency(self_loops=False)
    degrees = np.maximum(np.diff(edges.indptr), 1).astype(np.float32)
    inverse = np.float32(1) / np.sqrt(degrees) * (np.diff(edges.indptr) > 0)
    np.testing.assert_array_equal(edges.inverse_sqrt_degrees, inverse)
    np.testing.assert_array_equal(edges.norm, inverse[edges.sources] * inverse[edges.targets])
    np.testing.assert_array_equal(edges.inverse_degrees, (np.diff(edges.indptr) > 0) / degrees)


def test_inverse_sqrt_degrees_and_norm():
    graph = Graph([[1, 2, 3, 0], [0, 0, 0, 1]], 4)
    got = graph.adjacency(self_loops=True).inverse_sqrt_degrees
    np.testing.assert_array_equal(got, np.float32([0.5, 1 / np.sqrt(np.float32(2)), 1, 1]))
    assert graph.adjacency(self_loops=False).inverse_sqrt_degrees.tolist()[2:] == [0, 0]
    assert graph.adjacency(self_loops=True).norm.tolist()[1:3] == [0.5, 0.5]
    degrees = torch.arange(1, 1000)
    targets = torch.arange(999).repeat_interleave(degrees)
    got = Graph(torch.stack([torch.zeros_like(targets), targets]), 999).adjacency(self_loops=False)
    np.testing.assert_array_equal(got.inverse_sqrt_degrees, degrees.float().pow(-0.5).numpy())


def test_empty_graphs():
    for nodes, edges in ((0, np.empty((2, 0), np.int64)), (3, [[], []]), (3, np.empty((2, 0), np.uint8))):
        graph = Graph(edges, nodes)
        assert graph.adjacency(self_loops=False).num_edges == 0
        assert graph.adjacency(self_loops=True).sources.tolist() == list(range(nodes))


@pytest.mark.parametrize(
    ("edge_index", "sentence"),
    [
        ([[0, 3], [0, 0]], "node 3 is outside 0..2"),
        ([[0, 0], [0, -1]], "node -1 is outside 0..2"),
        (np.array([[2**63], [0]], np.uint64), "node 9223372036854775808 is outside 0..2"),
        ([[0], [0], [0]], r"expected shape \[2, E\], got \[3, 1\]"),
        ([0, 1], r"expected shape \[2, E\], got \[2\]"),
        (np.empty((2, 0)), "expected whole numbers, got float64"),
        ([[True], [False]], "expected whole numbers, got bool"),
        ([["a"], ["b"]], "expected whole numbers, got"),
        ([[0, 1], [0]], "cannot be read as an array"),
        (torch.eye(3).to_sparse(), "cannot be read as an array"),
        (None, "expected whole numbers, got object"),
    ],
)
def test_refused_edges(edge_index, sentence):
    with pytest.raises(ValueError, match=f"^edge_index: .*{sentence}"):
        Graph(edge_index, 3)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("num_nodes", [3, 300, 70_000])
def test_negative_nodes_are_refused_whatever_the_dtype(dtype, num_nodes):
    for edge_index in ([[-1], [0]], [[0], [-1]]):
        with pytest.raises(ValueError, match=f"^edge_index: node -1 is outside 0..{num_nodes - 1}$"):
            Graph(np.array(edge_index, dtype), num_nodes)


def test_a_graph_without_nodes_has_no_edges():
    with pytest.raises(ValueError, match=r"^edge_index: node 0 is outside the graph, which has no nodes$"):
        Graph([[0], [0]], 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64, np.int8])
def test_batches_of_all_whole_dtypes(dtype):
    numbers, graphs = read_batch(np.array([1, 0, 1], dtype), 3, None)
    assert (numbers.tolist(), numbers.dtype, graphs) == ([1, 0, 1], np.int32, 2)
    assert read_batch(np.empty(0, dtype), 0, None)[1] == 0


@pytest.mark.parametrize("num_nodes", [-1, 2**31])
def test_refused_sizes(num_nodes):
    with pytest.raises(ValueError, match=r"^num_nodes: expected 0 to 2\^31 - 1"):
        Graph(np.empty((2, 0), int), num_nodes)


@pytest.mark.parametrize("number", [5.0, "3", None, True, np.True_, np.float32(3), np.array([3, 4])])
def test_counts_are_whole_numbers(number):
    with pytest.raises(ValueError, match=r"^num_nodes: expected a whole number, got"):
        Graph([[], []], number)
    if number is not None:
        with pytest.raises(ValueError, match=r"^num_graphs: expected a whole number, got"):
            Graph([[], []], 3, [0, 0, 1], number)
    assert Graph([[], []], np.int64(3), [0, 0, 1], np.int8(4)).num_graphs == 4


def test_a_graph_of_another_size_is_refused():
    graph = Graph([[0], [1]], 2)
    assert read_graph(graph, 2) is graph
    with pytest.raises(ValueError, match="this Graph has 2 nodes, x has 3 rows"):
        read_graph(graph, 3)


@pytest.mark.parametrize(
    ("batch", "num_graphs", "sentence"),
    [
        ([0.0, 1.0], None, "whole numbers, got float64"),
        ([0, 1, 1], None, r"expected shape \[2\], got \[3\]"),
        ([[0, 1]], None, r"expected shape \[2\], got \[1, 2\]"),
        ([0, -1], None, "cannot be negative, got -1"),
        ([0, 2], 2, "2 graphs, expected at least 3"),
        ([0, 2], None, "2 nodes in 3 graphs, give num_graphs"),
        ([0, 2_000_000_000], None, "2 nodes in 2000000001 graphs, give num_graphs"),
        (None, 0, "0 graphs, expected at least 1"),
    ],
)
def test_refused_batches(batch, num_graphs, sentence):
    with pytest.raises(ValueError, match=f"^batch: .*{sentence}"):
        Graph([[0], [0]], 2, batch, num_graphs)


@pytest.mark.parametrize(
    ("batch", "num_graphs", "graphs"),
    [(None, None, 1), ([1, 0], None, 2), (torch.tensor([0, 0]), None, 1), ([0, 2], 5, 5)],
)
def test_accepted_batches(batch, num_graphs, graphs):
    numbers, count = read_batch(batch, 2, num_graphs)
    assert count == graphs
    assert numbers.tolist() == (np.zeros(2) if batch is None else np.asarray(batch)).tolist()


def test_members_are_the_nodes_of_every_graph_in_order():
    graph = Graph([[0], [0]], 5, [2, 0, 2, 2, 0], 4)
    assert neighbours(graph.members) == [[1, 4], [], [0, 2, 3], []]
    assert graph.members.inverse_degrees.tolist() == [0.5, 0.0, np.float32(1) / np.float32(3), 0.0]
    assert (graph.rows("graph"), graph.rows("node")) == (4, 5)


def test_a_batch_belongs_to_its_graph():
    graph = Graph([[0], [0]], 2, [0, 1])
    assert read_graph(graph, 2) is graph
    with pytest.raises(ValueError, match=r"^batch: a Graph holds its own"):
        read_graph(graph, 2, [0, 1])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_changed_edges_make_the_graph_that_is_built_anew(make, seed, dense, weighted):
    """With repeated edges, self-loops, nodes without edges, which may lie between those that get some; the first of
    several like edges goes."""
    maker, nodes = make(seed), 12
    given = maker.edges(nodes, 60 if dense else 6) if seed else np.zeros((2, 0), int)
    order = maker.rng.permutation(given.shape[1])[: (20 if dense else 3) * (seed % 3)]
    left = list(zip(*given.tolist(), maker.rng.normal(size=given.shape[1]), strict=True))
    graph = Graph(
        given, nodes, maker.rng.integers(0, 3, nodes), 4, edge_weight=[w for *_, w in left] if weighted else None
    )
    removed = given[:, order]
    for pair in removed.T.tolist():
        left.remove(next(entry for entry in left if [*entry[:2]] == pair))
    more = 15 * (seed % 4) if dense else 1 + seed % 4
    added, weights = maker.edges(nodes, more), maker.rng.normal(size=more)
    changed = graph.with_edges(added, removed, edge_weight=weights if weighted else None)
    expected = [*left, *zip(*added.tolist(), weights, strict=True)]
    edges = np.array([entry[:2] for entry in expected], int).reshape(-1, 2).T
    anew = Graph(edges, nodes, graph.graph_of_nodes, 4, edge_weight=[w for *_, w in expected] if weighted else None)
    for loops in (False, True):
        for name in ("indptr", "sources", "norm"):
            got, want = (getattr(each.adjacency(self_loops=loops), name) for each in (changed, anew))
            np.testing.assert_array_equal(got, want)
            assert got.dtype == want.dtype
    np.testing.assert_array_equal(changed.members.indptr, anew.members.indptr)
    assert (changed.num_edges, changed.num_graphs, changed.is_batch) == (anew.num_edges, 4, True)
    if weighted:
        np.testing.assert_array_equal(
            changed.norm(self_loops=True, weighted=True), anew.norm(self_loops=True, weighted=True)
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"removed": [[0], [2]]}, "removed: the graph has no edge 0 -> 2, or fewer of them"),
        ({"removed": [[0, 0], [1, 1]]}, "removed: the graph has no edge 0 -> 1, or fewer of them"),
        ({"added": [[0], [3]]}, r"added: node 3 is outside 0\.\.2"),
        ({"added": [[0.0], [1.0]]}, "added: expected whole numbers, got float64"),
        ({"removed": [0, 1]}, r"removed: expected shape \[2, E\], got \[2\]"),
        ({"added": [[0], [1]], "edge_weight": [1.0]}, "edge_weight: the graph has no weights, leave them out"),
    ],
)
def test_changes_that_cannot_be_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Graph([[0, 1], [1, 2]], 3).with_edges(**arguments)


def test_added_edges_of_a_graph_with_weights_have_weights():
    graph = Graph([[0, 1], [1, 2]], 3, edge_weight=[1.0, 2.0])
    with pytest.raises(
        ValueError, match=r"^edge_weight: the graph has weights, give those of the edges that are added$"
    ):
        graph.with_edges([[0], [2]])
    assert graph.with_edges(removed=[[0], [1]]).weights.tolist() == [2.0]
