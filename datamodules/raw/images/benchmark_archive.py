"""Reads the superpixel graphs of "Benchmarking Graph Neural Networks" that PyG distributes."""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import torch
from torch_geometric.data import Data
from torch_geometric.datasets import GNNBenchmarkDataset

from app.engine.files import write_atomically
from datamodules.cache import cached
from datamodules.errors import DataError
from datamodules.raw.local_files import LARGEST, load_tensors, read_file, read_packed
from datamodules.raw.raw_files import fetch, reason_of
from datamodules.storage import GraphStore


@dataclass(frozen=True)
class BenchmarkArchive:
    """The file `<folder>/benchmark/<name>/raw/<name>_v2.pt`, which is downloaded if it is not there.

    PyG's `GNNBenchmarkDataset` keeps it in the same place. Only tensors are made of it: what PyG itself makes of it
    and of the files that it keeps beside it may run code that somebody else put there.

    Args:
        name: "MNIST" or "CIFAR10".
        folder: of built graphs, see `cache_root`.
        sizes: numbers of graphs to train on, to validate on and to test on.
    """

    name: str
    folder: Path
    sizes: tuple[int, int, int]

    @property
    def raw(self) -> Path:
        """The path of the file."""
        return self.folder / "benchmark" / self.name / "raw" / f"{self.name}_v2.pt"

    @property
    def store(self) -> Path:
        """The file of the cache in which the graphs are kept after the first reading."""
        return self.folder / f"{self.name.lower()}-benchmark.safetensors"

    def missing(self) -> list[str]:
        """See `GraphDataModule`."""
        there = self.store.is_file() or self.raw.is_file()
        return [] if there else [f"{self.raw.name} of {GNNBenchmarkDataset.urls[self.name]} into {self.raw.parent}"]

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
            if not self.raw.exists():
                self._download()
            parts = load_tensors(read_file(self.raw))
            for part, size, content in zip(("train", "val", "test"), self.sizes, parts, strict=True):
                if len(content) != size:
                    raise self._error(f"{len(content)} graphs in {part}, expected {size}")
                graphs += [with_position(Data.from_dict(graph), num_features) for graph in content]
        except DataError:
            raise
        except (OSError, HTTPException, BadZipFile, ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._error(f"cannot be read ({reason_of(error)})") from error
        return GraphStore.of(self.name, graphs)

    def _download(self) -> None:
        with ZipFile(BytesIO(fetch(GNNBenchmarkDataset.urls[self.name]))) as archive:
            write_atomically(self.raw, read_packed(archive, self.raw.name, LARGEST))

    def _error(self, problem: str) -> DataError:
        url = GNNBenchmarkDataset.urls[self.name]
        place = f"put {self.raw.name} of {url} into {self.raw.parent}"
        return DataError(f"{self.name}: the benchmark's archive: {problem}: {place}")


def with_position(graph: Data, num_features: int) -> Data:
    """Appends the positions to the features of a graph that has fewer than `num_features`: these are colours alone."""
    if graph.x.dim() == 2 and graph.x.size(1) < num_features:
        graph.x = torch.cat([graph.x, graph.pos], dim=1)
    return graph
