"""Reads images from a folder with a folder for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datamodules.classes import Label
from datamodules.errors import DataError
from datamodules.raw.images.own import PARTS, OwnImages, Part, Pixels
from datamodules.raw.local_files import LARGEST_PACKED, read_file

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
"""What Pillow reads by itself; other formats call other programs."""

GREY, COLOURS, HIDDEN = {"1", "L", "LA"}, {"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"}, {"LA", "RGBA", "PA"}
"""Pillow's words for what a pixel is: grey, coloured, and those of them that may be transparent."""


@dataclass(frozen=True)
class Picture:
    """A file of an image.

    Attributes:
        path: of the file.
        digest: SHA-256 of its content.
        mode: Pillow's word for what a pixel is.
    """

    path: Path
    digest: bytes
    mode: str

    @classmethod
    def of(cls, name: str, path: Path) -> Picture:
        """Reads a file and looks at its head.

        Raises:
            DataError: if it cannot be read, is no image, or has pixels of more than eight bits.
        """
        content = _content(name, path)
        with _opened(name, path, content) as image:
            if image.mode not in GREY | COLOURS:
                raise DataError(f"{name}: {path} has pixels of mode {image.mode}: save it with 8 bits, grey or RGB")
            return cls(path, sha256(content).digest(), image.mode)

    def pixels(self, name: str, channels: int) -> Pixels:
        """Decodes the file: [height, width] grey or [height, width, 3] red, green and blue.

        Raises:
            DataError: if the file is cut or damaged, or is not the one that was looked at.
        """
        content = _content(name, self.path)
        if sha256(content).digest() != self.digest:
            raise DataError(f"{name}: {self.path} was changed while graphs were built: start again")
        with _opened(name, self.path, content) as image:
            try:
                return np.asarray(image.convert("L" if channels == 1 else "RGB"))
            except (OSError, ValueError, SyntaxError, EOFError) as error:
                raise _unreadable(name, self.path, error) from error


@dataclass(frozen=True)
class Pictures:
    """Images in files, which are decoded when they are asked for."""

    name: str
    files: Sequence[Picture]
    channels: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, chosen: slice, /) -> Pictures:
        return Pictures(self.name, self.files[chosen], self.channels)

    def __iter__(self) -> Iterator[Pixels]:
        return (file.pixels(self.name, self.channels) for file in self.files)


def folder_images(name: str, root: Path) -> OwnImages:
    """Returns the images in `<root>/train/<class>/`, and `val` and `test` where they are; or in `<root>/<class>/`.

    The names of the folders are the labels. All images have colours if one has.

    Raises:
        DataError: if there are no such folders, one has no images, or an image cannot be read.
    """
    unused = _Unused(root)
    given = {part: root / part for part in PARTS if (root / part).is_dir()}
    if "train" in given:
        unused.add(*(path for path in _visible(root) if path not in given.values()))
    else:
        given = {"train": root}
    classes = {part: _classes(name, folder, unused) for part, folder in given.items()}
    files = {part: [Picture.of(name, path) for path, _ in found] for part, found in classes.items()}
    modes = Counter(file.mode for found in files.values() for file in found)
    channels = 3 if modes.keys() & COLOURS else 1
    labels = _as_numbers({label for found in classes.values() for _, label in found})
    parts = {}
    for part, found in classes.items():
        content = b"".join(file.digest for file in files[part])
        ids = [path.relative_to(root).as_posix() for path, _ in found]
        images = Pictures(name, files[part], channels)
        parts[part] = Part(images, [labels[label] for _, label in found], channels, b"%d" % channels + content, ids)
    return OwnImages(parts, [*unused.remark(), *_remarks(modes, channels)])


class _Unused:
    """Collects what lies in the folders and is not used."""

    def __init__(self, root: Path) -> None:
        self.root, self.paths = root, list[Path]()

    def add(self, *paths: Path) -> None:
        self.paths += paths

    def remark(self) -> list[str]:
        """Returns a sentence on it, or nothing."""
        if not self.paths:
            return []
        first = self.paths[0].relative_to(self.root).as_posix()
        return [f"not used: {first}" + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")]


def _classes(name: str, folder: Path, unused: _Unused) -> list[tuple[Path, str]]:
    """Returns the files of images below the folders of the classes, and the label of each."""
    found: list[tuple[Path, str]] = []
    unused.add(*(path for path in _visible(folder) if not path.is_dir()))
    for kind in _folders(folder):
        files = [path for path in _visible(kind) if path.suffix.lower() in ENDINGS and not path.is_dir()]
        if not files:
            raise DataError(f"{name}: {kind} holds no image ({', '.join(sorted(ENDINGS))}): add some, or remove it")
        unused.add(*(path for path in _visible(kind) if path not in set(files)))
        found += [(path, kind.name) for path in files]
    if not found:
        raise DataError(
            f"{name}: {folder} has no folder of a class: put images into <class>/ or train/<class>/, or idx files there"
        )
    return found


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _as_numbers(labels: set[str]) -> dict[str, Label]:
    """Returns the label of each name of a folder: a whole number where all are, as 0 to 9."""
    if all(label.isdecimal() and str(int(label)) == label for label in labels):
        return {label: int(label) for label in labels}
    return {label: label for label in labels}


def _remarks(modes: Counter[str], channels: int) -> list[str]:
    grey, hidden = (sum(modes[mode] for mode in some) for some in (GREY, HIDDEN))
    remarks = []
    if grey and channels == 3:
        remarks.append(f"grey images are taken for coloured ones, as others have colours: {grey:,}")
    if hidden:
        remarks.append(f"transparency of images is left out: {hidden:,}")
    return remarks


def _content(name: str, path: Path) -> bytes:
    try:
        return read_file(path, LARGEST_PACKED)
    except OSError as error:
        raise _unreadable(name, path, error) from error


def _opened(name: str, path: Path, content: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError  # slow to import

    try:
        return Image.open(BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise DataError(f"{name}: {path} is no image that can be read ({', '.join(FORMATS)}): remove it") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(name, path, error) from error


def _unreadable(name: str, path: Path, error: Exception) -> DataError:
    reason = (error.strerror if isinstance(error, OSError) else None) or f"{error}"
    return DataError(f"{name}: {path} cannot be read ({reason}): replace or remove it")
