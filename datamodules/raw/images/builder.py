"""Builds superpixel graphs from images and keeps them in files of the cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.batched import Split
from datamodules.cache import cached, read_store
from datamodules.errors import DataError
from datamodules.processes import end_with_parent
from datamodules.raw.images.graphs import Slic, segment_means, segments, similar_nodes
from datamodules.raw.images.own import Images
from datamodules.storage import GraphStore

STALE_SECONDS = 3600
"""Writing a file takes a second: an unfinished one of this age was left by a killed process."""


@dataclass(frozen=True)
class SuperpixelBuilder:
    """Builds and reads the files of the cache: file k holds the graphs of `images_per_file` images in a row.

    Args:
        name: of the data set, for messages.
        folder: where the files are.
        slic: how an image is cut into superpixels.
        files: numbers of the files that are needed, ascending.
        images_per_file: what a killed process can lose.
        processes: that build files at the same time.
    """

    name: str
    folder: Path
    slic: Slic
    files: Sequence[int]
    images_per_file: int
    processes: int

    def path(self, file: int) -> Path:
        """Returns the path of a file of the cache."""
        return self.folder / f"{file:03d}.safetensors"

    def missing(self) -> list[int]:
        """Returns the numbers of the needed files that are not built yet."""
        return [file for file in self.files if not self.path(file).is_file()]

    def build(self, images: Images, labels: NDArray[Any]) -> None:
        """Builds the missing files, on several processes if there are several files, and shows a progress bar.

        Args:
            images: all of the data set.
            labels: [n] class of each.
        """
        from rich.progress import Progress, TimeRemainingColumn

        self._remove_unfinished()
        size = self.images_per_file
        jobs = [
            partial(
                build_file,
                self.path(file),
                name=self.name,
                slic=self.slic,
                images=images[file * size :][:size],
                labels=labels[file * size :][:size],
            )
            for file in self.missing()
        ]
        processes = min(self.processes, len(jobs))
        with Progress(*Progress.get_default_columns()[:-1], TimeRemainingColumn()) as progress:
            bar = progress.add_task(f"{self.name} superpixels", total=len(jobs) * size)
            if processes <= 1:
                for job in jobs:
                    job()
                    progress.advance(bar, size)
                return
            # Forking a process whose libraries run threads can hang.
            with ProcessPoolExecutor(processes, get_context("spawn"), end_with_parent) as pool:
                try:
                    for done in as_completed([pool.submit(job) for job in jobs]):
                        done.result()
                        progress.advance(bar, size)
                except BrokenProcessPool:
                    raise DataError(
                        f"{self.name}: a process that built superpixels was killed; memory may have run out: "
                        "give fewer data.processes; what is built stays"
                    ) from None
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def load(self) -> GraphStore:
        """Returns the graphs of all needed files, in the order of the files.

        Raises:
            DataError: if a file is damaged.
        """
        stores = []
        for file in self.files:
            store = read_store(self.path(file))
            if store is None:
                raise DataError(f"{self.name}: {self.path(file)} is damaged: delete it, it will be built again")
            stores.append(store)
        return GraphStore.joined(stores)

    def positions(self, images: Split) -> Split:
        """Returns a split of images as a split of the graphs that `load` returns."""
        first = torch.full((max(self.files) + 1,), -1)
        first[list(self.files)] = torch.arange(len(self.files)) * self.images_per_file
        parts = vars(images).values()
        return Split(*(first[part // self.images_per_file] + part % self.images_per_file for part in parts))

    def _remove_unfinished(self) -> None:
        for path in self.folder.glob(".*.safetensors.*"):
            if path.stat().st_mtime < time.time() - STALE_SECONDS:
                path.unlink(missing_ok=True)


def build_file(path: Path, *, name: str, slic: Slic, images: Images, labels: NDArray[Any]) -> None:
    """Writes the graphs of some images, unless another process has written them meanwhile."""
    torch.set_num_threads(1)
    cached(path, lambda: superpixel_graphs(name, slic, images, labels))


def superpixel_graphs(name: str, slic: Slic, images: Images, labels: NDArray[Any]) -> GraphStore:
    """Returns the graphs of images, with labels [n]; pixels are bytes, or floats from 0 to 1."""
    nodes, edges, weights = [], [], []
    for image in images:
        scaled = image if image.dtype == np.float32 else image / np.float32(255)
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
