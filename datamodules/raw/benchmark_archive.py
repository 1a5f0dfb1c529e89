"""Reads the superpixel graphs of "Benchmarking Graph Neural Networks" that PyG distributes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch_geometric.data import Data
from torch_geometric.datasets import GNNBenchmarkDataset

from datamodules.cache import cached
from datamodules.errors import DataError
from datamodules.storage import GraphStore


@dataclass(frozen=True)
class BenchmarkArchive:
    """The file `<folder>/benchmark/<name>/raw/<name>_v2.pt`, which PyG downloads.

    Args:
        name: "MNIST" or "CIFAR10".
        folder: of built graphs, see `cache_root`.
        sizes: numbers of graphs to train on, to validate on and to test on.
    """

    name: str
    folder: Path
    sizes: tuple[int, int, int]

    @property
    def root(self) -> Path:
        """The folder that PyG calls the root."""
        return self.folder / "benchmark"

    @property
    def store(self) -> Path:
        """The file of the cache in which the graphs are kept after the first reading."""
        return self.folder / f"{self.name.lower()}-benchmark.safetensors"

    def missing(self) -> list[str]:
        """See `GraphDataModule`."""
        raw = self.root / self.name / "raw"
        there = self.store.is_file() or (raw / f"{self.name}_v2.pt").is_file()
        return [] if there else [f"{self.name}_v2.pt of {GNNBenchmarkDataset.urls[self.name]} into {raw}"]

    def load(self, num_features: int) -> GraphStore:
        """Returns the graphs of all three parts, one part after the other.

        Raises:
            DataError: if the download fails, the file is damaged, or the numbers of graphs are not the published ones.
        """
        store = cached(self.store, lambda: self._read(num_features))
        if len(store) != sum(self.sizes):
            raise self._error(f"{len(store)} graphs, expected {sum(self.sizes)}")
        return store

    def _read(self, num_features: int) -> GraphStore:
        graphs: list[Data] = []
        try:
            for part, size in zip(("train", "val", "test"), self.sizes, strict=True):
                dataset = GNNBenchmarkDataset(str(self.root), self.name, part)
                if len(dataset) != size:
                    raise self._error(f"{len(dataset)} graphs in {part}, expected {size}")
                graphs += [with_position(graph, num_features) for graph in dataset]
        except (OSError, RuntimeError, UnpicklingError, EOFError, KeyError) as error:
            raise self._error(f"cannot be read ({error})") from error
        return GraphStore.of(self.name, graphs)

    def _error(self, problem: str) -> DataError:
        raw = self.root / self.name / "raw"
        url = GNNBenchmarkDataset.urls[self.name]
        return DataError(f"{self.name}: the benchmark's archive: {problem}: put {self.name}_v2.pt of {url} into {raw}")


def with_position(graph: Data, num_features: int) -> Data:
    """Appends the positions to the features of a graph that has fewer than `num_features`: these are colours alone."""
    if graph.x.size(1) < num_features:
        graph.x = torch.cat([graph.x, graph.pos], dim=1)
    return graph
