"""Images of one's own with their labels, whatever they are kept in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datamodules.classes import Label
from datamodules.errors import DataError

Pixels = NDArray[Any]
"""Of one image, [height, width] or [height, width, 3]: uint8 from 0 to 255, or float32 from 0 to 1."""

PARTS = ("train", "val", "test")
"""Of images; a file or a folder that says no part is to train on."""


class Images(Protocol):
    """The pixels of several images, which may have different sizes."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def __getitem__(self, chosen: slice, /) -> Images:
        """Returns some of them."""

    def __iter__(self) -> Iterator[Pixels]:
        """Yields their pixels."""


@dataclass(frozen=True)
class Part:
    """The images of one part and what is known of each.

    Attributes:
        images: their pixels.
        labels: [n] a whole number or a word for each.
        channels: values of a pixel: 1 (grey) or 3 (colours).
        content: bytes that differ where the pixels do.
        ids: what the user calls each; empty where they count from 0.
    """

    images: Images
    labels: Sequence[Label]
    channels: int
    content: bytes
    ids: Sequence[Label] = ()


@dataclass(frozen=True)
class OwnImages:
    """What was found in a file or a folder.

    Attributes:
        parts: the images to train on; and, where they are given apart, those to validate and to test on; in the order
            of `PARTS`.
        remarks: what was not used, or was taken for what.
    """

    parts: Mapping[str, Part]
    remarks: Sequence[str] = ()

    def __iter__(self) -> Iterator[Part]:
        """Yields the parts that are there."""
        return iter(self.parts.values())

    @property
    def labels(self) -> list[Label]:
        """The labels of all images."""
        return [label for part in self for label in part.labels]

    @property
    def ids(self) -> list[Label]:
        """What the user calls each image; empty where they count from 0."""
        return [name for part in self for name in part.ids]

    @property
    def channels(self) -> int:
        """Values of a pixel."""
        return self.parts["train"].channels

    def check(self, name: str) -> OwnImages:
        """Returns the same images, after looking at the parts together.

        Raises:
            DataError: if a part that is needed is missing, or if one has colours and another is grey.
        """
        if "train" not in self.parts:
            raise DataError(f"{name}: there are no images to train on, only {', '.join(self.parts)}")
        if "val" in self.parts and "test" not in self.parts:
            raise DataError(f"{name}: there are images to validate on and none to test on: add some, or leave both out")
        for part, found in self.parts.items():
            if found.channels != self.channels:
                grey, colours = (part, "train") if found.channels == 1 else ("train", part)
                raise DataError(
                    f"{name}: the images of {grey} are grey, those of {colours} have colours: make them alike"
                )
        trained = set(self.parts["train"].labels)
        for part, found in self.parts.items():
            if unknown := [label for label in found.labels if label not in trained]:
                raise DataError(f"{name}: an image of {part} has the label {unknown[0]!r}, and none of train has it")
        if len(trained) < 2:
            raise DataError(f"{name}: all images have the label {trained.pop()!r}: give images of two classes at least")
        return self


@dataclass(frozen=True)
class Joined:
    """Images of several parts, one part after the other."""

    parts: Sequence[Images]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, chosen: slice, /) -> Joined:
        start, stop, _ = chosen.indices(len(self))
        pieces, first = [], 0
        for part in self.parts:
            pieces.append(part[max(start - first, 0) : max(stop - first, 0)])
            first += len(part)
        return Joined(pieces)

    def __iter__(self) -> Iterator[Pixels]:
        return (image for part in self.parts for image in part)


def array_part(name: str, place: str, images: Pixels, labels: NDArray[Any]) -> Part:
    """Returns the part that arrays hold.

    Args:
        name: of the data set.
        place: says where the arrays are, for messages.
        images: [n, height, width] or [n, height, width, 3].
        labels: [n] or [n, 1].

    Raises:
        DataError: for another shape or dtype, for values beyond 0 to 1 of floats, or if their numbers differ.
    """
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[3] == 3):
        raise DataError(
            f"{name}: {place}: images of shape {list(images.shape)}, expected [n, height, width] (grey) or "
            "[n, height, width, 3] (colours)"
        )
    if not images.size:
        raise DataError(f"{name}: {place}: no images, their shape is {list(images.shape)}")
    pixels = _checked_values(name, place, images)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "biufU":
        raise DataError(
            f"{name}: {place}: labels of shape {list(labels.shape)} and dtype {labels.dtype}, expected [n] whole "
            "numbers or words"
        )
    if len(labels) != len(pixels):
        raise DataError(
            f"{name}: {place}: {len(pixels)} images and {len(labels)} labels: give one label for each image"
        )
    shape = f"{pixels.dtype}{list(pixels.shape)}"
    return Part(pixels, labels.tolist(), 1 if pixels.ndim == 3 else 3, shape.encode() + pixels.tobytes())


def _checked_values(name: str, place: str, images: Pixels) -> Pixels:
    """Returns pixels as uint8 or float32, in this machine's order of bytes and in rows."""
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise DataError(
            f"{name}: {place}: pixels are {images.dtype}, expected uint8 (0 to 255) or floats (0 to 1): "
            "convert them by .astype('uint8')"
        )
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 1:  # NaN as well
        raise DataError(
            f"{name}: {place}: pixels are floats from {low:g} to {high:g}, expected 0 to 1: scale them, or save uint8"
        )
    return np.ascontiguousarray(images, dtype=np.float32)
