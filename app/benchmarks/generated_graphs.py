"""Random graphs of the shape of published data sets, for benchmarks where their files are missing or not needed."""

from __future__ import annotations

import numpy as np

from datamodules.datasets.tudataset import RedditBinaryDataModule

Edges = np.ndarray
"""[2, E] int64: sources and targets."""


def superpixels(graphs: int = 1_000, nodes: int = 117, neighbours: int = 9, seed: int = 0) -> tuple[int, Edges]:
    """Links random points to their nearest neighbours: the nodes and edges of a batch of CIFAR-10 superpixel graphs."""
    points = np.random.default_rng(seed).random((graphs, nodes, 2), dtype=np.float32)
    edges = []
    for number, own in enumerate(points):
        distances = ((own[:, None] - own) ** 2).sum(2)
        np.fill_diagonal(distances, np.inf)
        nearest = np.argpartition(distances, neighbours, axis=1)[:, :neighbours]
        targets = np.repeat(np.arange(nodes), neighbours)
        edges.append(np.stack([nearest.reshape(-1), targets]) + number * nodes)
    return graphs * nodes, np.concatenate(edges, axis=1)


def molecules(graphs: int = 10_000, nodes: int = 23, rings: int = 3, seed: int = 0) -> tuple[int, Edges]:
    """Draws chains with branches and rings: the nodes and edges of a batch of ZINC molecules."""
    rng = np.random.default_rng(seed)
    atoms = np.arange(1, nodes)
    bonded = np.maximum(atoms - rng.integers(1, 3, (graphs, nodes - 1)), 0)
    ends = np.concatenate([np.broadcast_to(atoms, bonded.shape), rng.integers(6, nodes, (graphs, rings))], axis=1)
    starts = np.concatenate([bonded, np.maximum(ends[:, nodes - 1 :] - 5, 0)], axis=1)
    first = np.arange(graphs)[:, None] * nodes
    bonds = np.stack([(starts + first).reshape(-1), (ends + first).reshape(-1)])
    return graphs * nodes, both_ways(bonds)


def power_law(nodes: int, edges: int, seed: int = 0) -> tuple[int, Edges]:
    """Draws a graph whose degrees follow a power law, its nodes numbered at random; each edge runs both ways."""
    rng = np.random.default_rng(seed)
    ranks = (nodes * rng.random((2, edges // 2)) ** 2).astype(np.int64)  # density of rank r: r^-1/2
    return nodes, both_ways(rng.permutation(nodes)[ranks])


def discussions(
    graphs: int = RedditBinaryDataModule.num_graphs,
    nodes: int = RedditBinaryDataModule.num_nodes,
    edges: int = RedditBinaryDataModule.num_edges,
    seed: int = 0,
) -> tuple[int, Edges]:
    """Draws trees of uneven sizes, most of whose nodes answer the first few, and some further answers, as on REDDIT.

    `nodes` and `edges` count all graphs together: at least 2 nodes for each graph, and edges enough for the trees. Each
    edge runs both ways.
    """
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(size=graphs)
    sizes = 2 + np.floor(weights / weights.sum() * (nodes - 2 * graphs)).astype(np.int64)
    sizes[: nodes - sizes.sum()] += 1  # what was lost by rounding, less than one a graph
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = np.arange(nodes) - first
    children = np.flatnonzero(rank)
    more = rng.choice(children, edges // 2 - children.size)
    ends = np.concatenate([children, more])
    answered = (rank[ends] * rng.random(ends.size) ** 4).astype(np.int64)  # below the own rank: no loops
    return nodes, both_ways(np.stack([ends, first[ends] + answered]))


def both_ways(edges: Edges) -> Edges:
    """Returns every edge and its reverse."""
    return np.concatenate([edges, edges[::-1]], axis=1)
