from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from app.benchmarks import generated_graphs


def test_workloads_have_the_shape_of_the_papers():
    nodes, edges = generated_graphs.superpixels(graphs=3)
    assert (nodes, edges.shape) == (351, (2, 3159))
    assert (edges[0] // 117 == edges[1] // 117).all()
    assert not (edges[0] == edges[1]).any()
    nodes, edges = generated_graphs.molecules(graphs=5)
    assert (nodes, edges.shape) == (115, (2, 250))
    assert (edges[0] // 23 == edges[1] // 23).all()
    nodes, edges = generated_graphs.power_law(100, 1000)
    assert edges.shape == (2, 1000)
    assert 0 <= edges.min() <= edges.max() < nodes


def test_discussions_are_star_like_trees_and_some_answers_more():
    nodes, edges = generated_graphs.discussions(graphs=20, nodes=8592, edges=19910)
    assert nodes == 8592
    assert edges.shape == (2, 19910)
    assert not (edges[0] == edges[1]).any()
    assert Counter(zip(*edges.tolist(), strict=True)) == Counter(zip(*edges[::-1].tolist(), strict=True))
    ones = np.ones(edges.shape[1])
    number, graph = connected_components(coo_matrix((ones, edges), (nodes, nodes)))
    assert number == 20
    assert (np.diff(graph) >= 0).all()
    sizes, degrees = np.bincount(graph), np.bincount(edges[1])
    assert sizes.max() > 4 * np.median(sizes)
    hubs = np.maximum.reduceat(degrees, np.flatnonzero(np.diff(graph, prepend=-1)))
    assert np.median(hubs / sizes) > 0.1
    assert np.median(degrees) == 1
