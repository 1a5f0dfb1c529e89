"""MNIST and CIFAR-10 as graphs of superpixels, built from the images or read from the published benchmark."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batched import BatchedDataModule, Split
from datamodules.errors import check_at_least, check_choice
from datamodules.folders import cache_root, dataset_folder
from datamodules.raw.images.benchmark_archive import BenchmarkArchive
from datamodules.raw.images.builder import SuperpixelBuilder
from datamodules.raw.images.graphs import NEIGHBOURS, Slic
from datamodules.raw.images.own import Images
from datamodules.raw.images.published import ImageFiles, image_files
from datamodules.storage import GraphStore

Labels = NDArray[Any]


@dataclass(frozen=True)
class Recipe:
    """What is known of a data set in advance.

    Args:
        channels: values of a pixel.
        train, val, test: numbers of images; they follow each other in this order.
        slic: how an image is cut into superpixels.
        images_per_file: images whose graphs are kept in one file of the cache.
    """

    channels: int
    train: int
    val: int
    test: int
    slic: Slic
    images_per_file: int = 1000

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of images to train on, to validate on and to test on."""
        return self.train, self.val, self.test


RECIPES = {
    "MNIST": Recipe(1, 55000, 5000, 10000, Slic(limit=75, wanted=95, compactness=0.25)),
    "CIFAR10": Recipe(3, 45000, 5000, 10000, Slic(limit=150, wanted=200, compactness=10.0)),
}


class ImageGraphs(BatchedDataModule):
    """Base of images as graphs: a node is a superpixel with its mean colour and centroid, joined to the 8 most similar.

    Dwivedi et al. 2020, "Benchmarking Graph Neural Networks" (arXiv 2003.00982). Each node has 8 outgoing edges
    with a Gaussian weight (`edge_attr`); in-degrees differ.

    Graphs built from images are kept in the cache, a thousand to a file, so an interrupted build continues with
    the next file. A subclass implements `read_images` and `builder`.

    Args:
        cache: folder of built graphs, see `cache_root`.
        processes: number of processes that build graphs; None: one per CPU.
        batch_size, num_workers: see `BatchedDataModule`.

    Raises:
        ValueError: for values outside their range.
    """

    features_are = "mean colour (0 to 1) and centroid (x, y; 0 to 1) of each superpixel"

    task = "graph_classification"

    def __init__(self, *, cache: str | None, processes: int | None, batch_size: int, num_workers: int) -> None:
        super().__init__(batch_size, num_workers)
        if processes is not None:
            check_at_least("processes", processes, 1)
        self.cache, self.processes = cache, processes or os.cpu_count() or 1

    def read_images(self) -> tuple[Images, Labels]:
        """Returns the images and the class of each, [n]."""
        raise NotImplementedError

    def builder(self) -> SuperpixelBuilder:
        """Returns what builds the graphs of the images in use, and reads them."""
        raise NotImplementedError

    def builder_of(self, name: str, slic: Slic, *, images: Tensor, images_per_file: int) -> SuperpixelBuilder:
        """Returns what builds the graphs of some images.

        Args:
            name: distinguishes these images from all others.
            slic: how they are cut.
            images: their numbers.
            images_per_file: images whose graphs are kept in one file of the cache.
        """
        cut = f"slic{slic.limit}-of{slic.wanted}-{slic.compactness:g}"  # without `of`: of 0.1.0, other segments
        return SuperpixelBuilder(
            name=self.name,
            folder=cache_root(self.cache) / f"{name}-{cut}-knn{NEIGHBOURS}",
            slic=slic,
            files=sorted(set((images // images_per_file).tolist())),
            images_per_file=images_per_file,
            processes=self.processes,
        )

    def pending(self) -> str:
        """See `GraphDataModule`."""
        builder = self.builder()
        files = builder.missing()
        return f"{len(files)} of {len(builder.files)} thousand graphs to build" if files else ""

    def prepare_data(self) -> None:
        """Builds the missing graphs."""
        builder = self.builder()
        if builder.missing():
            builder.build(*self.read_images())

    def built(self, split: Split) -> tuple[GraphStore, Split]:
        """Reads the graphs from the cache, after building those that are missing; the split is one of the images."""
        self.prepare_data()
        builder = self.builder()
        return builder.load(), builder.positions(split)


class SuperpixelDataModule(ImageGraphs):
    """MNIST and CIFAR-10 as graphs of superpixels, see `ImageGraphs`.

    The last 5,000 of the images to train on are the validation set. Nothing is written to `root` except downloads.

    Args:
        name: "MNIST" or "CIFAR10".
        root: folder of the images; default `$DEGREE_QUANT_DATA/mnist` or `cifar10`, without that variable in `data`.
        source: "images", or "benchmark" for PyG's `GNNBenchmarkDataset` (downloaded into the cache). Segments and
            edges differ between the two, so say which one a result was obtained with.
        train_size: use only the first so many training graphs; None: all.
        val_size: use only the first so many validation graphs; None: all.
        cache, processes, batch_size, num_workers: see `ImageGraphs`.

    Raises:
        ValueError: for values outside their range.
        DataError: for missing or damaged files.
    """

    num_classes = 10

    def __init__(
        self,
        name: Literal["MNIST", "CIFAR10"],
        root: str | None = None,
        *,
        source: Literal["images", "benchmark"] = "images",
        train_size: int | None = None,
        val_size: int | None = None,
        cache: str | None = None,
        processes: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__(cache=cache, processes=processes, batch_size=batch_size, num_workers=num_workers)
        check_choice("name", name, tuple(RECIPES))
        check_choice("source", source, ("images", "benchmark"))
        self.recipe = RECIPES[name]
        for parameter, size, most in (
            ("train_size", train_size, self.recipe.train),
            ("val_size", val_size, self.recipe.val),
        ):
            if size is not None and not 1 <= size <= most:
                raise ValueError(f"{parameter}: expected 1 to {most}, got {size}")
        self.name, self.root, self.source = name, root, source
        self.train_size, self.val_size = train_size, val_size
        self.num_features = self.recipe.channels + 2

    @property
    def images(self) -> ImageFiles:
        """The files of the images."""
        return image_files(self.name, dataset_folder(self.root, self.name.lower()))

    @property
    def archive(self) -> BenchmarkArchive:
        """The published benchmark's graphs."""
        return BenchmarkArchive(self.name, cache_root(self.cache), self.recipe.sizes)

    @property
    def images_in_use(self) -> Split:
        """Numbers of the images to train on, to validate on and to test on, among all of the data set."""
        sizes = self.recipe.sizes
        train, val, test = torch.split(torch.arange(sum(sizes)), list(sizes))
        return Split(train[: self.train_size], val[: self.val_size], test)

    def missing(self) -> list[str]:
        """See `GraphDataModule`; images whose graphs are all in the cache are not missed."""
        if self.source == "benchmark":
            return self.archive.missing()
        return self.images.missing() if self.builder().missing() else []

    def pending(self) -> str:
        """See `GraphDataModule`."""
        return "" if self.source == "benchmark" else super().pending()

    def prepare_data(self) -> None:
        """Downloads missing images, where that is possible, and builds the missing graphs."""
        if self.source == "images":
            super().prepare_data()

    def read_images(self) -> tuple[Images, Labels]:
        """See `ImageGraphs`; downloads missing images, where that is possible."""
        images = self.images
        images.download()
        return images.read()

    def load(self) -> tuple[GraphStore, Split]:
        """Reads the graphs from the cache, after building those that are missing."""
        sizes = {"training": self.train_size, "validation": self.val_size}
        remarks = [f"first {size:,} {part} graphs" for part, size in sizes.items() if size]
        if self.source == "benchmark":
            store = self.archive.load(self.num_features)
            split = self.images_in_use
        else:
            store, split = self.built(self.images_in_use)
            remarks = [*filter(None, [self.images.substitute]), "superpixels built from the images", *remarks]
        self.substitute = "; ".join(remarks)
        return store, split

    def builder(self) -> SuperpixelBuilder:
        """See `ImageGraphs`."""
        return self.builder_of(
            f"{self.name.lower()}{self.images.variant}",
            self.recipe.slic,
            images=torch.cat(list(vars(self.images_in_use).values())),
            images_per_file=self.recipe.images_per_file,
        )
