"""Reads the images of MNIST and CIFAR-10 from their published files, and CIFAR-10 from JPEG files as well."""

from __future__ import annotations

import tarfile
import zlib
from functools import cached_property
from hashlib import md5
from io import BytesIO
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.raw.local_files import LARGEST_PACKED, read_array, read_file
from datamodules.raw.raw_files import RawFile
from datamodules.raw.unpickle import ARRAYS, unpickle

Bytes = NDArray[np.uint8]

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist"
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"

# Size and SHA-256 of the uncompressed files of MNIST: images and labels to train on, then those to test on.
MNIST_FILES = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
# MD5 of the batches of CIFAR-10, as https://www.cs.toronto.edu/~kriz/cifar.html and torchvision have them.
CIFAR10_BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
CIFAR10_ARCHIVE = "c58f30108f718f92721af3b95e74349a"
CIFAR10_BATCH_BYTES = 1 << 26
"""More than a batch has."""
CIFAR10_BATCH = 10000  # images
UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OSError,
    BadZipFile,
    EOFError,
    zlib.error,
    RuntimeError,
    MemoryError,
)
"""What a cut or hostile file makes the readers of zips, arrays and images raise."""

CIFAR10_SIZES = {"train": 50000, "test": 10000}


class ImageFiles(Protocol):
    """The files of one data set of images.

    `variant`: distinguishes these images from others of the same name; empty for the published ones.
    `substitute`: how they differ from the published ones; empty if they do not.
    """

    variant: str
    substitute: str

    def missing(self) -> list[str]:
        """Returns the files that are not there, each as `<where to get it> into <where to put it>`."""

    def download(self) -> None:
        """Downloads the files that are not there, where that is possible."""

    def read(self) -> tuple[Bytes, Bytes]:
        """Returns images [n, height, width] or [n, height, width, 3] and labels [n]; those to train on come first.

        Raises:
            DataError: for missing or damaged files.
        """


class MnistFiles:
    """The four gzipped idx files of MNIST, in `<root>/raw` or `<root>`."""

    variant = substitute = ""

    def __init__(self, root: Path) -> None:
        self.folder = root if (root / "train-images-idx3-ubyte.gz").is_file() else root / "raw"
        self.files = [
            RawFile("MNIST", f"{name}.gz", f"{MNIST_URL}/{name}.gz", size, sha256, gzipped=True)
            for name, (size, sha256) in MNIST_FILES.items()
        ]

    def _absent(self) -> list[RawFile]:
        return [file for file in self.files if not (self.folder / file.name).is_file()]

    def missing(self) -> list[str]:
        """See `ImageFiles`."""
        return [f"{file.url} into {self.folder}" for file in self._absent()]

    def download(self) -> None:
        """See `ImageFiles`."""
        for file in self._absent():
            file.download(self.folder)

    def read(self) -> tuple[Bytes, Bytes]:
        """See `ImageFiles`."""
        contents = [np.frombuffer(file.read(self.folder), dtype=np.uint8) for file in self.files]
        images = [content[16:].reshape(-1, 28, 28) for content in contents[0::2]]
        labels = [content[8:] for content in contents[1::2]]
        return np.concatenate(images), np.concatenate(labels)


class Cifar10Batches:
    """CIFAR-10 as published for Python: `<root>/cifar-10-python.tar.gz`, or its folder `cifar-10-batches-py`."""

    variant = substitute = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archive, self.folder = root / "cifar-10-python.tar.gz", root / "cifar-10-batches-py"

    def missing(self) -> list[str]:
        """See `ImageFiles`."""
        there = self.archive.is_file() or all((self.folder / batch).is_file() for batch in CIFAR10_BATCHES)
        return [] if there else [f"{CIFAR10_URL} into {self.root}"]

    def download(self) -> None:
        """Does nothing: the user has to get the 170 MB."""

    def read(self) -> tuple[Bytes, Bytes]:
        """See `ImageFiles`."""
        if missing := self.missing():
            raise DataError(f"CIFAR-10: the images are missing: put {missing[0]}")
        parts = [self._batch(name) for name in CIFAR10_BATCHES]
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return images, labels

    def _batch(self, name: str) -> tuple[Bytes, Bytes]:
        try:
            raw = self._content(name)
            check_md5(raw, CIFAR10_BATCHES[name])
            content = unpickle(raw, ARRAYS)
            planes = np.asarray(content["data"], dtype=np.uint8).reshape(CIFAR10_BATCH, 3, 32, 32)
            return planes.transpose(0, 2, 3, 1), np.array(content["labels"], dtype=np.uint8).reshape(CIFAR10_BATCH)
        except (ValueError, KeyError, TypeError, tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"CIFAR-10: {name} is cut or damaged ({error}): put {CIFAR10_URL} into {self.root} again"
            ) from error

    @cached_property
    def _archived(self) -> bytes:
        content = read_file(self.archive, LARGEST_PACKED)
        check_md5(content, CIFAR10_ARCHIVE)
        return content

    def _content(self, name: str) -> bytes:
        if not self.archive.is_file() or (self.folder / name).is_file():
            return read_file(self.folder / name, CIFAR10_BATCH_BYTES)
        with tarfile.open(fileobj=BytesIO(self._archived)) as archive:
            member = archive.extractfile(f"{self.folder.name}/{name}")
            return member.read(CIFAR10_BATCH_BYTES) if member else b""


class Cifar10Shards:
    """CIFAR-10 as `<root>/{train,test}_<k>.npz`: `jpeg` bytes end to end, their `size` [n] and `label` [n]."""

    variant = "jpeg"
    substitute = "images JPEG-compressed and reordered"

    def __init__(self, root: Path) -> None:
        self.root = root

    def missing(self) -> list[str]:
        """See `ImageFiles`."""
        return []

    def download(self) -> None:
        """Does nothing: all files are there."""

    def read(self) -> tuple[Bytes, Bytes]:
        """See `ImageFiles`."""
        images, labels = [], []
        for part, expected in CIFAR10_SIZES.items():
            shards = [self._shard(path) for path in sorted(self.root.glob(f"{part}_*.npz"))]
            found = sum(len(shard[1]) for shard in shards)
            if found != expected:
                raise DataError(
                    f"CIFAR-10: the shards {part}_*.npz in {self.root} hold {found} images, expected {expected}: "
                    f"put the missing ones there, or remove all and put {CIFAR10_URL} into {self.root}"
                )
            images += [shard[0] for shard in shards]
            labels += [shard[1] for shard in shards]
        return np.concatenate(images), np.concatenate(labels)

    def _shard(self, path: Path) -> tuple[Bytes, Bytes]:
        try:
            with ZipFile(BytesIO(read_file(path, LARGEST_PACKED))) as shard:
                jpeg, sizes, labels = (read_array(shard, f"{part}.npy") for part in ("jpeg", "size", "label"))
            ends = np.cumsum(sizes, dtype=np.int64)
            content = jpeg.tobytes()
            pieces = [content[end - size : end] for end, size in zip(ends, sizes.astype(np.int64), strict=True)]
            if labels.shape != sizes.shape:
                raise ValueError(f"{len(pieces)} images with labels of shape {labels.shape}")
            return np.stack([self._image(piece) for piece in pieces]), labels
        except UNREADABLE as error:
            raise DataError(f"CIFAR-10: {path} is cut or damaged ({error}): put it there again") from error

    def _image(self, content: bytes) -> Bytes:
        from PIL import Image

        try:
            image = Image.open(BytesIO(content), formats=("JPEG",))  # other formats call other programs
        except Image.DecompressionBombError as error:
            raise ValueError(f"{error}") from error
        if image.size != (32, 32):
            raise ValueError(f"an image of {image.size[0]} x {image.size[1]} pixels, expected 32 x 32")
        return np.asarray(image.convert("RGB"))


def check_md5(content: bytes, expected: str) -> None:
    """Raises ValueError unless the content is the published one, by its MD5."""
    if md5(content, usedforsecurity=False).hexdigest() != expected:
        raise ValueError("its MD5 is not that of the published one")


def image_files(name: str, root: Path) -> ImageFiles:
    """Returns the files of "MNIST" or "CIFAR10" in a folder."""
    if name == "MNIST":
        return MnistFiles(root)
    return Cifar10Shards(root) if any(root.glob("train_*.npz")) else Cifar10Batches(root)
