"""Graphs on which the engine is timed: real ones where their files are, else generated ones of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from datamodules.base import DataError
from datamodules.datasets.citation import STATISTICS, CitationDataModule
from datamodules.datasets.tudataset import RedditBinaryDataModule
from datamodules.raw.tu_files import read_topology

Edges = np.ndarray
"""[2, E] int64: sources and targets."""


class Workload(NamedTuple):
    """A graph of so many nodes; `generated`: it only has the shape of the one it is named after."""

    nodes: int
    edges: Edges
    generated: bool = True


def superpixels(graphs: int = 1_000, nodes: int = 117, neighbours: int = 9, seed: int = 0) -> tuple[int, Edges]:
    """Nearest neighbours of random points: as many nodes and edges as a batch of CIFAR-10 superpixel graphs."""
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
    """Chains with branches and rings: as many nodes and edges as a batch of ZINC molecules."""
    rng = np.random.default_rng(seed)
    atoms = np.arange(1, nodes)
    bonded = np.maximum(atoms - rng.integers(1, 3, (graphs, nodes - 1)), 0)
    ends = np.concatenate([np.broadcast_to(atoms, bonded.shape), rng.integers(6, nodes, (graphs, rings))], axis=1)
    starts = np.concatenate([bonded, np.maximum(ends[:, nodes - 1 :] - 5, 0)], axis=1)
    first = np.arange(graphs)[:, None] * nodes
    bonds = np.stack([(starts + first).reshape(-1), (ends + first).reshape(-1)])
    return graphs * nodes, both_ways(bonds)


def power_law(nodes: int, edges: int, seed: int = 0) -> tuple[int, Edges]:
    """Degrees follow a power law, nodes are numbered at random; each edge both ways."""
    rng = np.random.default_rng(seed)
    ranks = (nodes * rng.random((2, edges // 2)) ** 2).astype(np.int64)  # density of rank r: r^-1/2
    return nodes, both_ways(rng.permutation(nodes)[ranks])


def discussions(
    graphs: int = RedditBinaryDataModule.num_graphs,
    nodes: int = RedditBinaryDataModule.num_nodes,
    edges: int = RedditBinaryDataModule.num_edges,
    seed: int = 0,
) -> tuple[int, Edges]:
    """Trees whose nodes answer mostly the first few, and some answers more, of uneven sizes, each edge both ways.

    Nodes and edges in all; there are at least 2 nodes a graph and enough edges for the trees.
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
    """Every edge and its reverse."""
    return np.concatenate([edges, edges[::-1]], axis=1)


def citation(name: Literal["Cora", "Citeseer"], root: Path) -> Workload:
    """Cora or Citeseer."""
    data = CitationDataModule(name, root=str(root / "planetoid"))
    if data.missing():
        return Workload(*power_law(STATISTICS[name].nodes, STATISTICS[name].edges))
    data.prepare_data()
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    return Workload(batch.num_nodes, batch.edge_index.numpy(), generated=False)


def reddit_binary(root: Path) -> Workload:
    """All graphs of REDDIT-BINARY side by side."""
    data = RedditBinaryDataModule(root=str(root / "tudataset"))
    if data.missing():
        return Workload(*discussions())
    num_nodes, num_edges, edges = read_topology(data.files)
    first = np.cumsum(num_nodes) - num_nodes
    return Workload(int(num_nodes.sum()), edges + np.repeat(first, num_edges), generated=False)


def stored(name: str, root: Path) -> Workload:
    """A graph of `large/` under the root: CSR in an .npz file, each edge both ways.

    Raises:
        DataError: if the file is missing.
    """
    path = root / "large" / f"{name}.npz"
    if not path.is_file():
        raise DataError(f"{path} is missing; put it there, name its root by --data-root, or choose another --workload")
    with np.load(path, allow_pickle=False) as arrays:
        nodes, rowptr, col = int(arrays["num_nodes"]), arrays["rowptr"], arrays["col"].astype(np.int64)
    edges = both_ways(np.stack([col, np.repeat(np.arange(nodes), np.diff(rowptr))]))
    keys = np.unique(edges[0] * nodes + edges[1])
    return Workload(nodes, np.stack([keys // nodes, keys % nodes]), generated=False)


WORKLOADS: Mapping[str, Callable[[Path], Workload]] = {
    "cora": lambda root: citation("Cora", root),
    "citeseer": lambda root: citation("Citeseer", root),
    "cifar10": lambda root: Workload(*superpixels()),
    "zinc": lambda root: Workload(*molecules()),
    "reddit_binary": reddit_binary,
    "reddit": lambda root: Workload(*power_law(233_000, 11_600_000)),  # the size of Reddit at a tenth of its edges
    "reddit_full": lambda root: Workload(*power_law(232_965, 114_615_892)),
    "ca-astroph-cc1": lambda root: stored("ca-astroph-cc1", root),
    "soc-slashdot0902": lambda root: stored("soc-slashdot0902", root),
    "ego-twitter": lambda root: stored("ego-twitter", root),
}
"""Name -> graph; the data root is that of the real ones."""
