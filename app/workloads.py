"""Graphs on which the engine is timed: generated ones of the shape of the paper's, and real ones where present."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from datamodules.base import DataError
from datamodules.citation import CitationDataModule

Edges = np.ndarray
"""[2, E] int64: sources and targets."""


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


def reddit_scale(nodes: int = 233_000, edges: int = 11_600_000, seed: int = 0) -> tuple[int, Edges]:
    """Degrees follow a power law, nodes are numbered at random: the size of Reddit at a tenth of its edges."""
    rng = np.random.default_rng(seed)
    ranks = (nodes * rng.random((2, edges // 2)) ** 2).astype(np.int64)  # density of rank r: r^-1/2
    return nodes, both_ways(rng.permutation(nodes)[ranks])


def both_ways(edges: Edges) -> Edges:
    """Every edge and its reverse."""
    return np.concatenate([edges, edges[::-1]], axis=1)


def citation(name: Literal["Cora", "Citeseer"], root: Path) -> tuple[int, Edges]:
    """Cora or Citeseer."""
    data = CitationDataModule(name, root=str(root / "planetoid"))
    data.prepare_data()
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    return batch.num_nodes, batch.edge_index.numpy()


def stored(name: str, root: Path) -> tuple[int, Edges]:
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
    return nodes, np.stack([keys // nodes, keys % nodes])


WORKLOADS: Mapping[str, Callable[[Path], tuple[int, Edges]]] = {
    "cora": lambda root: citation("Cora", root),
    "citeseer": lambda root: citation("Citeseer", root),
    "cifar10": lambda root: superpixels(),
    "zinc": lambda root: molecules(),
    "reddit": lambda root: reddit_scale(),
    "ca-astroph-cc1": lambda root: stored("ca-astroph-cc1", root),
    "soc-slashdot0902": lambda root: stored("soc-slashdot0902", root),
    "ego-twitter": lambda root: stored("ego-twitter", root),
}
"""Name -> number of nodes and edges; the data root is that of the real ones."""
