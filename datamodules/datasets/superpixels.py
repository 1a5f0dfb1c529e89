"""MNIST and CIFAR-10 as graphs of superpixels: built here from the images, or the benchmark's archive."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from datamodules.base import DataError, check_choice
from datamodules.batched import BatchedDataModule, Split, check_at_least
from datamodules.cache import cached, read_store
from datamodules.folders import cache_root, dataset_folder
from datamodules.raw.benchmark_archive import BenchmarkArchive
from datamodules.raw.image_graphs import NEIGHBOURS, Slic, segment_means, segments, similar_nodes
from datamodules.raw.images import Bytes, ImageFiles, image_files
from datamodules.storage import GraphStore

CHUNK = 1000
"""Images in one file of the cache: what a kill can lose, for each process."""

STALE_SECONDS = 3600
"""Writing a file takes a second: one that old and unfinished was left by a kill."""


@dataclass(frozen=True)
class Recipe:
    """What is known of a data set in advance: channels of a pixel, sizes of the split, how images are cut."""

    channels: int
    train: int
    val: int
    test: int
    slic: Slic

    @property
    def images(self) -> int:
        """How many there are."""
        return self.train + self.val + self.test


RECIPES = {
    "MNIST": Recipe(1, 55000, 5000, 10000, Slic(limit=75, wanted=95, compactness=0.25)),
    "CIFAR10": Recipe(3, 45000, 5000, 10000, Slic(limit=150, wanted=200, compactness=10.0)),
}


class SuperpixelDataModule(BatchedDataModule):
    """Images as graphs: a node is a superpixel with its mean colour and centroid, joined to the 8 most similar.

    Dwivedi et al. 2020, "Benchmarking Graph Neural Networks" (arXiv 2003.00982). Edges leave every node 8 times and
    carry a Gaussian weight (`edge_attr`); in-degrees differ. The last 5,000 of the images to train on are the
    validation set.

    Graphs built from images are kept in the cache, a thousand to a file, so a build that was cut short continues
    where it stood. Raw data is read from `root`, and never written there, except for downloads.

    Args:
        name: "MNIST" or "CIFAR10".
        root: folder of the images; default `$DEGREE_QUANT_DATA/mnist` or `cifar10`, without that variable in `data`.
        source: "images" or "benchmark", PyG's `GNNBenchmarkDataset` (downloaded into the cache). The two have
            other segments and edges; say which you used.
        train_size: train on the first so many graphs only; None: on all.
        val_size: choose the epoch by the first so many validation graphs only; None: by all.
        cache: folder for the graphs, see `cache_root`.
        processes: that build graphs; None: one per CPU.

    Raises:
        ValueError: for values outside their range.
        DataError: for missing or damaged files.
    """

    task = "graph_classification"
    num_classes = 10

    def __init__(
        self,
        name: Literal["MNIST", "CIFAR10"],
        root: str | None = None,
        source: Literal["images", "benchmark"] = "images",
        train_size: int | None = None,
        val_size: int | None = None,
        cache: str | None = None,
        processes: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers)
        check_choice("name", name, tuple(RECIPES))
        check_choice("source", source, ("images", "benchmark"))
        self.recipe = RECIPES[name]
        for parameter, size, most in (
            ("train_size", train_size, self.recipe.train),
            ("val_size", val_size, self.recipe.val),
        ):
            if size is not None and not 1 <= size <= most:
                raise ValueError(f"{parameter}: expected 1 to {most}, got {size}")
        if processes is not None:
            check_at_least("processes", processes, 1)
        self.name, self.root, self.source, self.cache = name, root, source, cache
        self.train_size, self.val_size, self.processes = train_size, val_size, processes or os.cpu_count() or 1
        self.num_features = self.recipe.channels + 2

    @property
    def images(self) -> ImageFiles:
        """The files there are."""
        return image_files(self.name, dataset_folder(self.root, self.name.lower()))

    @property
    def archive(self) -> BenchmarkArchive:
        """The benchmark's."""
        sizes = (self.recipe.train, self.recipe.val, self.recipe.test)
        return BenchmarkArchive(self.name, cache_root(self.cache), sizes)

    @property
    def numbers(self) -> Split:
        """The graphs in use, among all of the data set."""
        train, val, test = torch.arange(self.recipe.images).split(
            [self.recipe.train, self.recipe.val, self.recipe.test]
        )
        return Split(train[: self.train_size], val[: self.val_size], test)

    def missing(self) -> list[str]:
        """See `GraphDataModule`; raw data whose graphs are all in the cache is not missed."""
        if self.source == "benchmark":
            return self.archive.missing()
        return self.images.missing() if self._builder().open_chunks() else []

    def pending(self) -> str:
        """See `GraphDataModule`."""
        builder = self._builder()
        if self.source == "benchmark" or not (chunks := builder.open_chunks()):
            return ""
        return f"{len(chunks)} of {len(builder.chunks)} thousand graphs to build"

    def prepare_data(self) -> None:
        """Downloads what is missing, where it can be, and builds the graphs in use."""
        if self.source == "images" and (chunks := self._builder().open_chunks()):
            images = self.images
            images.download()
            self._builder().build(*images.read(), chunks)

    def load(self) -> tuple[GraphStore, Split]:
        """Reads the graphs from the cache."""
        sizes = {"training": self.train_size, "validation": self.val_size}
        remarks = [f"first {size:,} {part} graphs" for part, size in sizes.items() if size]
        if self.source == "benchmark":
            store = self.archive.load(self.num_features)
            split = self.numbers
        else:
            self.prepare_data()
            builder = self._builder()
            store, split = builder.load(), builder.positions(self.numbers)
            remarks = [*filter(None, [self.images.substitute]), "superpixels built from the images", *remarks]
        self.substitute = "; ".join(remarks)
        return store, split

    def _builder(self) -> Builder:
        slic, variant = self.recipe.slic, self.images.variant
        folder = f"{self.name.lower()}{variant}-slic{slic.limit}-{slic.compactness:g}-knn{NEIGHBOURS}"
        every = torch.cat(list(vars(self.numbers).values()))
        return Builder(
            self.name,
            cache_root(self.cache) / folder,
            slic,
            every.div(CHUNK, rounding_mode="floor").unique().tolist(),
            self.processes,
        )


@dataclass(frozen=True)
class Builder:
    """Makes and reads the files of the cache; file k holds the graphs of the images k * CHUNK and on."""

    name: str
    folder: Path
    slic: Slic
    chunks: list[int]
    processes: int

    def file(self, chunk: int) -> Path:
        """The file of a chunk."""
        return self.folder / f"{chunk:03d}.safetensors"

    def open_chunks(self) -> list[int]:
        """The chunks that are not there yet."""
        return [chunk for chunk in self.chunks if not self.file(chunk).is_file()]

    def build(self, images: Bytes, labels: Bytes, chunks: list[int]) -> None:
        """Makes these chunks, on several processes if there is work for them, with a progress bar."""
        from rich.progress import Progress, TimeRemainingColumn

        self._remove_stale()
        work = {
            chunk: (
                self.name,
                self.slic,
                self.file(chunk),
                images[chunk * CHUNK :][:CHUNK],
                labels[chunk * CHUNK :][:CHUNK],
            )
            for chunk in chunks
        }
        with Progress(*Progress.get_default_columns()[:-1], TimeRemainingColumn()) as progress:
            bar = progress.add_task(f"{self.name} superpixels", total=len(chunks) * CHUNK)
            if min(self.processes, len(chunks)) == 1:
                for arguments in work.values():
                    build_chunk(*arguments)
                    progress.advance(bar, CHUNK)
                return
            # Forking a process whose libraries run threads can hang.
            with ProcessPoolExecutor(min(self.processes, len(chunks)), get_context("spawn")) as pool:
                try:
                    for done in as_completed([pool.submit(build_chunk, *arguments) for arguments in work.values()]):
                        done.result()
                        progress.advance(bar, CHUNK)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def _remove_stale(self) -> None:
        for path in self.folder.glob(".*.safetensors.*"):
            if path.stat().st_mtime < time.time() - STALE_SECONDS:
                path.unlink(missing_ok=True)

    def load(self) -> GraphStore:
        """All chunks, one after the other.

        Raises:
            DataError: if one is damaged.
        """
        stores = []
        for chunk in self.chunks:
            store = read_store(self.file(chunk))
            if store is None:
                raise DataError(f"{self.name}: {self.file(chunk)} is damaged: delete it, it will be built again")
            stores.append(store)
        return GraphStore.joined(stores)

    def positions(self, numbers: Split) -> Split:
        """Where graphs are in what `load` returns."""
        first = torch.tensor([self.chunks.index(k) if k in self.chunks else -1 for k in range(max(self.chunks) + 1)])
        return Split(*(first[part // CHUNK] * CHUNK + part % CHUNK for part in vars(numbers).values()))


def build_chunk(name: str, slic: Slic, path: Path, images: Bytes, labels: Bytes) -> None:
    """Writes the graphs of some images, unless another process has done so."""
    torch.set_num_threads(1)
    cached(path, lambda: superpixel_graphs(name, slic, images, labels))


def superpixel_graphs(name: str, slic: Slic, images: Bytes, labels: Bytes) -> GraphStore:
    """The graphs of images [n, height, width(, C)] with values 0 to 255, and their labels [n]."""
    nodes, edges, weights = [], [], []
    for image in images:
        scaled = image / np.float32(255)
        colour, position = segment_means(scaled, segments(scaled, slic))
        edge_index, weight = similar_nodes(colour, position)
        nodes.append(np.concatenate([colour, position], axis=1))
        edges.append(edge_index)
        weights.append(weight)
    return GraphStore.build(
        name,
        x=torch.from_numpy(np.concatenate(nodes)),
        edge_index=torch.from_numpy(np.concatenate(edges, axis=1)),
        y=torch.from_numpy(labels.astype(np.int64)),
        num_nodes=torch.tensor([len(part) for part in nodes]),
        num_edges=torch.tensor([part.shape[1] for part in edges]),
        edge_attr=torch.from_numpy(np.concatenate(weights)),
    )
