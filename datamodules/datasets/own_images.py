"""Images of one's own as graphs of superpixels."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.batched import Split
from datamodules.classes import number_classes
from datamodules.datasets.superpixels import RECIPES, ImageGraphs
from datamodules.errors import DataError, check_at_least, check_choice
from datamodules.raw.images.array_files import idx_files, idx_images, npz_images
from datamodules.raw.images.builder import SuperpixelBuilder
from datamodules.raw.images.graphs import Slic
from datamodules.raw.images.own import Images, Joined, OwnImages
from datamodules.raw.images.picture_folders import folder_images
from datamodules.raw.split_files import ascending
from datamodules.splits import NUM_FOLDS, SHARE, Splitting, split_off
from datamodules.storage import GraphStore

IMAGES_PER_FILE = 1000


class ImageDataModule(ImageGraphs):
    """Images of one's own, as graphs of superpixels as those of MNIST (grey) or CIFAR-10 (colours) are.

    `path` is one of these:

    - a file `.npz` with arrays `images` [n, height, width] or [n, height, width, 3] (uint8, or floats from 0 to 1) and
      `labels` [n]; if there are parts, `test_images`, `test_labels`, `val_images`, `val_labels` as well;
    - a folder with idx files as MNIST has them, gzipped or not, or one with such a folder `raw`;
    - a folder `train` with a folder of images for each class, and `test` and `val` beside it; or such folders of
      classes alone. Images may have different sizes.

    Labels are whole numbers or words; the distinct ones, ascending, are the classes. Without images to test on, all are
    split by shares or by folds; without images to validate on, a share of those to train on is taken. The cache holds
    graphs by the content of the images, their labels and how they are cut: what was changed is built again.

    `__init__` reads the images, because only they tell the classes.

    Args:
        path: see above.
        segments: most superpixels of an image; None: 75 of grey images, 150 of coloured ones.
        compactness: weight of position against colour; None: 0.25 of grey images, 10 of coloured ones.
        split: "shares" or "folds", of images without a part to test on.
        num_folds, fold, split_file, val_share, test_share: see `datamodules.PyGDataModule`.
        cache, processes, batch_size, num_workers: see `ImageGraphs`.

    Raises:
        ValueError: for values outside their range, or a setting that has no effect on these images.
        DataError: if the images cannot be read or lack something.
    """

    def __init__(
        self,
        path: str,
        *,
        segments: int | None = None,
        compactness: float | None = None,
        split: Literal["shares", "folds"] = "shares",
        num_folds: int = NUM_FOLDS,
        fold: int | None = None,
        split_file: str | None = None,
        val_share: float = SHARE,
        test_share: float = SHARE,
        cache: str | None = None,
        processes: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__(cache=cache, processes=processes, batch_size=batch_size, num_workers=num_workers)
        check_choice("split", split, ("shares", "folds"))
        self.splitting = Splitting(self.task, fold, num_folds, val_share, test_share, split_file)
        self.name, self.by_shares = name_of(Path(path)), split == "shares"
        self.found = read(self.name, Path(path)).check(self.name)
        self._refuse_settings_without_effect()
        self.slic = slic_of(self.found.channels, segments, compactness)
        self.num_features = self.found.channels + 2
        self.y, self.num_classes, self.class_names = number_classes(
            self.name, self.found.labels, lambda number: f"image {number}", "expected a whole number or a word"
        )
        self.ids = self.found.ids
        self.features_are = (
            f"{ImageGraphs.features_are}: at most {self.slic.limit} by SLIC of compactness {self.slic.compactness:g}"
        )
        for remark in self.found.remarks:
            self.remark(remark)

    def _refuse_settings_without_effect(self) -> None:
        splitting, defaults = self.splitting, {"num_folds": NUM_FOLDS, "fold": None, "test": SHARE}
        if splitting.file is not None or "test" not in self.found.parts:
            return
        words = {"test": "test_share"}
        changed = [words.get(key, key) for key, value in defaults.items() if getattr(splitting, key) != value]
        changed += [] if self.by_shares else ["split"]
        if "val" in self.found.parts and splitting.val != SHARE:
            changed.append("val_share")
        if changed:
            raise ValueError(
                f"{changed[0]}: has no effect, since {self.name} has images to test on: leave it out, or give "
                "data.split_file"
            )

    def read_images(self) -> tuple[Images, NDArray[Any]]:
        """See `ImageGraphs`."""
        return Joined([part.images for part in self.found]), self.y.numpy()

    def builder(self) -> SuperpixelBuilder:
        """See `ImageGraphs`."""
        content = sha256(self.y.numpy().tobytes())
        for part in self.found:
            content.update(sha256(part.content).digest())
        return self.builder_of(
            f"images-{content.hexdigest()[:32]}",
            self.slic,
            images=torch.arange(len(self.y)),
            images_per_file=IMAGES_PER_FILE,
        )

    def load(self) -> tuple[GraphStore, Split]:
        """Splits the images, and reads their graphs from the cache, after building those that are missing."""
        return self.built(self._split())

    def _split(self) -> Split:
        """Returns which images are in which part, of those that have no parts by shares, by folds or by a file."""
        parts = self.found.parts
        if self.splitting.file is not None or "test" not in parts:
            if self.splitting.file is None and self.by_shares:
                self._check_classes(3, "to train, to validate and to test on")
            split, remark = self.splitting.of(
                self.name, self.y, self.ids, by_shares=self.by_shares, classes=self.class_names
            )
            self.remark(remark)
            return split
        sizes = [len(part.labels) for part in self.found]
        numbers = dict(zip(parts, torch.split(torch.arange(len(self.y)), sizes), strict=True))
        if "val" in numbers:
            return Split(**numbers)
        self._check_classes(2, "to train and to validate on")
        trained, validated = split_off(self.name, self.y, numbers["train"].numpy(), self.splitting.val)
        return Split(ascending(trained), ascending(validated), numbers["test"])

    def _check_classes(self, least: int, what: str) -> None:
        counts = self.y[: len(self.found.parts["train"].labels)].bincount(minlength=self.num_classes)
        if (few := counts < least).any():
            number = int(few.int().argmax())
            label, images = self.class_names[number] if self.class_names else number, int(counts[number])
            raise DataError(
                f"{self.name}: class {label} has {images} image{'s' if images > 1 else ''}, and needs {least} or more "
                f"{what}: add some, leave the class out, or give data.split_file"
            )


def name_of(path: Path) -> str:
    """Returns what images are called in messages: the name of their file or folder."""
    return path.resolve().name.removesuffix(".npz")


def read(name: str, path: Path) -> OwnImages:
    """Returns the images in a file `.npz`, in idx files or in folders of classes; see `ImageDataModule`.

    Raises:
        DataError: if there are none, or they cannot be read.
    """
    if path.is_dir():
        for folder in filter(Path.is_dir, (path, path / "raw")):
            if files := idx_files(folder):
                return idx_images(name, files)
        return folder_images(name, path)
    if path.suffix == ".npz" and path.exists():
        return npz_images(name, path)
    there = "is no folder and no file .npz" if path.exists() else "is not there"
    raise DataError(f"{name}: {path} {there}: give data.path a folder of images by class or of idx files, or a .npz")


def slic_of(channels: int, segments: int | None, compactness: float | None) -> Slic:
    """Returns how images are cut: as MNIST (grey) or CIFAR-10 (colours), but for what is given.

    Raises:
        ValueError: for values outside their range.
    """
    known = RECIPES["MNIST" if channels == 1 else "CIFAR10"].slic
    if segments is not None:
        check_at_least("segments", segments, 2)
    if compactness is not None and not (np.isfinite(compactness) and compactness > 0):
        raise ValueError(f"compactness: expected a number above 0, got {compactness}")
    limit = known.limit if segments is None else segments
    return Slic(
        limit, -(-limit * known.wanted // known.limit), known.compactness if compactness is None else compactness
    )
