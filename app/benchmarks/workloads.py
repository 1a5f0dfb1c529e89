"""Graphs that benchmarks run on, and the features and edges that they give to every candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from app.benchmarks.generated_graphs import Edges, both_ways, discussions, molecules, power_law, superpixels
from app.benchmarks.peers.convolution import WIDTH
from app.engine import Graph
from app.errors import UserError
from datamodules.datasets.citation import STATISTICS, CitationDataModule
from datamodules.datasets.tudataset import RedditBinaryDataModule
from datamodules.errors import DataError
from datamodules.folders import data_root
from datamodules.raw.tu_graphs import read_topology

ALL = "all"
"""The word on the command line for all workloads but LARGEST."""

LARGEST = "reddit_full"
"""The workload that takes longer than minutes, so runs only if it is named."""


class Workload(NamedTuple):
    """A graph; `generated`: it only has the shape of the one it is named after."""

    nodes: int
    edges: Edges
    generated: bool = True


class Inputs:
    """Random features [N, WIDTH] and the edges [2, E] of a graph, as PyG and as the engine read them."""

    def __init__(self, nodes: int, edges: Edges) -> None:
        self.x = torch.randn(nodes, WIDTH, generator=torch.Generator().manual_seed(0))
        self.edge_index = torch.from_numpy(edges)

    def with_features(self, x: Tensor) -> Inputs:
        """Returns the same graph with other features."""
        inputs = copy(self)
        inputs.x = x
        return inputs

    def on(self, place: torch.device) -> Inputs:
        """Returns the same with features and edges on a device, as PyG reads them; the engine's graph is the same."""
        inputs = copy(self)
        inputs.graph = self.graph
        inputs.x, inputs.edge_index = self.x.to(place), self.edge_index.to(place)
        return inputs

    @cached_property
    def graph(self) -> Graph:
        """The edges as the engine reads them."""
        return Graph(self.edge_index.numpy(), len(self.x))

    @property
    def num_edges(self) -> int:
        """E."""
        return self.edge_index.shape[1]


def load_inputs(name: str, root: Path) -> tuple[str, Inputs]:
    """The title (which says if the graph is generated) and the inputs of a workload; `root`: of the raw data.

    Raises:
        DataError: if its file is missing and no graph is generated in its place.
    """
    workload = WORKLOADS[name].make(root)
    title = f"{name} (generated)" if workload.generated else name
    return title, Inputs(workload.nodes, workload.edges)


def each_inputs(names: Sequence[str], root: Path, report: Callable[[str], object]) -> Iterator[tuple[str, Inputs]]:
    """Loads the inputs of workloads, one after the other.

    Where ALL is among the names these are all workloads but LARGEST; those whose files are missing are passed over,
    and `report` is told.

    Raises:
        DataError: if the file of a workload named itself is missing.
    """
    if ALL not in names:
        yield from (load_inputs(name, root) for name in names)
        return
    for name in WORKLOADS:
        if name != LARGEST:
            try:
                yield load_inputs(name, root)
            except DataError as error:
                report(f"{name} is left out: {error}")


def root_of(given: str | None, names: Sequence[str]) -> Path:
    """Returns the folder of the raw data of workloads: that of the option --data-root, or the usual one.

    Raises:
        UserError: if that of the option is none, or nothing is read from it.
    """
    if given is not None and not any(name == ALL or WORKLOADS[name].reads for name in names):
        raise UserError(f"--data-root: has no effect: no file is read for {', '.join(names)}; leave it out")
    if given is not None and not Path(given).is_dir():
        raise UserError(f"--data-root {given}: no such folder; name that of the raw data, or leave it out")
    return data_root(given)


def citation(name: Literal["Cora", "Citeseer"], root: Path) -> Workload:
    """The citation graph, generated where its files are missing."""
    data = CitationDataModule(name, root=str(root / "planetoid"))
    if data.missing():
        return Workload(*power_law(STATISTICS[name].nodes, STATISTICS[name].edges))
    data.prepare_data()
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    return Workload(batch.num_nodes, batch.edge_index.numpy(), generated=False)


def reddit_binary(root: Path) -> Workload:
    """All graphs of REDDIT-BINARY as one, generated where its files are missing."""
    data = RedditBinaryDataModule(root=str(root / "tudataset"))
    if data.missing():
        return Workload(*discussions())
    num_nodes, num_edges, edges = read_topology(data.files)
    first = np.cumsum(num_nodes) - num_nodes
    return Workload(int(num_nodes.sum()), edges + np.repeat(first, num_edges), generated=False)


def stored(name: str, root: Path) -> Workload:
    """A graph in `large/` under the root: an .npz file with the CSR arrays of its edges, which are read both ways.

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


@dataclass(frozen=True)
class Source:
    """Where a workload comes from: `make`, of the root of the raw data; `reads`: whether it looks for a file there."""

    make: Callable[[Path], Workload]
    reads: bool = True

    @classmethod
    def generated(cls, make: Callable[..., tuple[int, Edges]], *args: int, **kwargs: int) -> Source:
        """Returns the source of a graph that is only generated, by a function of these arguments."""
        return cls(lambda root: Workload(*make(*args, **kwargs)), reads=False)


WORKLOADS: Mapping[str, Source] = {
    "cora": Source(partial(citation, "Cora")),
    "citeseer": Source(partial(citation, "Citeseer")),
    "cifar10": Source.generated(superpixels),
    "zinc": Source.generated(molecules),
    "molecule": Source.generated(molecules, graphs=1),
    "molecules_4": Source.generated(molecules, graphs=4),
    "molecules_16": Source.generated(molecules, graphs=16),
    "molecules_64": Source.generated(molecules, graphs=64),
    "reddit_binary": Source(reddit_binary),
    "reddit": Source.generated(power_law, 233_000, 11_600_000),  # the size of Reddit at a tenth of its edges
    "reddit_full": Source.generated(power_law, 232_965, 114_615_892),
    "ca-astroph-cc1": Source(partial(stored, "ca-astroph-cc1")),
    "soc-slashdot0902": Source(partial(stored, "soc-slashdot0902")),
    "ego-twitter": Source(partial(stored, "ego-twitter")),
}
"""Workloads by name."""
