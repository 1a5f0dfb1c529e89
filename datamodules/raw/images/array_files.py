"""Reads images and labels from files of arrays: `.npz` of one's own, and idx files as MNIST has them."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.raw.images.own import PARTS, OwnImages, array_part
from datamodules.raw.images.published import UNREADABLE
from datamodules.raw.local_files import LARGEST_PACKED, read_array, read_file

Array = NDArray[Any]

KEYS = {part: (f"{part}_images", f"{part}_labels") for part in PARTS}
"""Names of the arrays of a part, as MedMNIST has them."""

PLAIN = ("images", "labels")
"""Those of `train`, under shorter names."""

IDX = re.compile(r"(?P<part>.*)(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?", re.IGNORECASE)
WORDS = {"train": "train", "t10k": "test", "test": "test"}
"""What the name of an idx file says of its part."""

UNSIGNED_BYTES = 8
GZIP = b"\x1f\x8b"


def npz_images(name: str, path: Path) -> OwnImages:
    """Returns the images in a `.npz` file: arrays `images` and `labels`, and `test_images`, `val_labels` and so on.

    Raises:
        DataError: if it cannot be read, or lacks an array, or one is not as `array_part` expects it.
    """
    try:
        with ZipFile(BytesIO(read_file(path))) as archive:
            found = {entry.removesuffix(".npy") for entry in archive.namelist()}
            pairs = _pairs(name, path, found)
            used = [key for pair in pairs.values() for key in pair]
            arrays = {key: read_array(archive, f"{key}.npy") for key in used}
    except DataError:
        raise
    except (*UNREADABLE, NotImplementedError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{error}"
        raise DataError(f"{name}: {path} cannot be read ({reason}): save it again by numpy.savez") from error
    unused = sorted(found - set(used))
    parts = {
        part: array_part(name, f"{path}: `{images}`, `{labels}`", arrays[images], arrays[labels])
        for part, (images, labels) in pairs.items()
    }
    return OwnImages(parts, [f"not used: {', '.join(unused)} in {path.name}"] if unused else [])


def _pairs(name: str, path: Path, found: set[str]) -> dict[str, tuple[str, str]]:
    """Returns for every part that is there the names of its two arrays."""
    if (both := set(PLAIN) & found) and set(KEYS["train"]) & found:
        raise DataError(f"{name}: {path} has `{min(both)}` and `train_{min(both)}`: keep one")
    names = {**KEYS, "train": PLAIN} if both else KEYS
    pairs = {part: pair for part, pair in names.items() if set(pair) & found}
    for pair in pairs.values() or [PLAIN]:
        if missing := [key for key in pair if key not in found]:
            raise DataError(
                f"{name}: {path} has no `{missing[0]}`: expected `images` and `labels`, and for parts of their own "
                "`test_images`, `test_labels`, `val_images`, `val_labels`"
            )
    return pairs


def idx_files(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """Returns the idx files in a folder by part and kind; of a file and its `.gz`, the file."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.iterdir()):
        match = IDX.fullmatch(path.name)
        if match and path.is_file() and not (path.suffix == ".gz" and path.with_suffix("").is_file()):
            part = next((part for word, part in WORDS.items() if word in match["part"].lower()), "train")
            found.setdefault((part, match["kind"].lower()), []).append(path)
    return found


def idx_images(name: str, files: Mapping[tuple[str, str], list[Path]]) -> OwnImages:
    """Returns the images in idx files, gzipped or not.

    Raises:
        DataError: if one is missing, there are several, or one is damaged or holds anything but images or labels.
    """
    for (part, kind), paths in files.items():
        if len(paths) > 1:
            raise DataError(f"{name}: {paths[0]} and {paths[1].name} are both {kind} of {part}: keep one")
        other = "labels" if kind == "images" else "images"
        if (part, other) not in files:
            raise DataError(f"{name}: {paths[0]} is there and no file of its {other}: put it beside")
    parts = {}
    for part in (part for part in PARTS if (part, "images") in files):
        (images,), (labels,) = files[part, "images"], files[part, "labels"]
        place = f"{images} and {labels.name}"
        parts[part] = array_part(name, place, _read_idx(name, images), _read_idx(name, labels))
    return OwnImages(parts)


def _read_idx(name: str, path: Path) -> Array:
    """Returns the bytes that an idx file holds, in the shape that it says.

    It begins with two zeros, the type of a value and the number of dimensions, a byte each; then the dimensions, four
    bytes each, the highest first.
    """
    try:
        content = read_file(path)
        if content.startswith(GZIP):
            with gzip.GzipFile(fileobj=BytesIO(content)) as file:
                content = file.read(LARGEST_PACKED + 1)
        if len(content) > LARGEST_PACKED:
            raise ValueError(f"it has more than {LARGEST_PACKED:,} bytes")
        return _array_of(content)
    except DataError:
        raise
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or f"{error}"
        raise DataError(f"{name}: {path} cannot be read ({reason}): put it there again") from error


def _array_of(content: bytes) -> Array:
    dimensions = content[3] if len(content) > 3 else 0
    if content[:2] != bytes(2) or not dimensions or len(content) < 4 * (1 + dimensions):
        raise ValueError("it is no idx file")
    if content[2] != UNSIGNED_BYTES:
        raise ValueError(f"its values are of type {content[2]:#04x}, expected unsigned bytes, 0x08")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    values = np.frombuffer(content, np.uint8, offset=4 * (1 + dimensions))
    if len(values) != (expected := int(np.prod(shape, dtype=object))):
        raise ValueError(f"it has {len(values)} values, its shape {list(shape)} needs {expected}")
    return values.reshape(shape)
