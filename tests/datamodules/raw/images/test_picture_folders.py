from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError
from datamodules.raw.images.picture_folders import folder_images

PIXELS = np.arange(5 * 4, dtype=np.uint8).reshape(5, 4)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two classes of two images."""
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(2):
            Image.fromarray(PIXELS + number).save(tmp_path / label / f"{number}.png")
    return tmp_path


def read(root: Path):
    return folder_images("mine", root).check("mine")


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "pgm"])
def test_pixels_are_those_of_the_file(root, ending):
    (root / "cat" / "0.png").unlink()
    Image.fromarray(PIXELS).save(root / "cat" / f"0.{ending}", **({"lossless": True} if ending == "webp" else {}))
    first = next(iter(read(root).parts["train"].images))
    grey = first if first.ndim == 2 else first[..., 0]  # WebP has colours only
    assert np.array_equal(grey, PIXELS)


def test_all_have_colours_if_one_has(root):
    Image.fromarray(np.stack([PIXELS] * 3, -1)).save(root / "dog" / "1.png")
    found = read(root)
    assert found.channels == 3
    assert found.remarks == ["grey images are taken for coloured ones, as others have colours: 3"]
    images = list(found.parts["train"].images)
    assert [image.shape for image in images] == [(5, 4, 3)] * 4
    assert np.array_equal(images[0], np.stack([PIXELS] * 3, -1))


def test_a_part_decides_for_the_others(tmp_path, root):
    whole = tmp_path / "whole"
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (whole / part / label).mkdir(parents=True)
            shape = (5, 4) if part == "train" else (5, 4, 3)
            Image.fromarray(np.zeros(shape, np.uint8)).save(whole / part / label / "0.png")
    found = read(whole)
    assert {part: next(iter(images.images)).shape for part, images in found.parts.items()} == {
        "train": (5, 4, 3),
        "test": (5, 4, 3),
    }
    assert found.ids == ["train/cat/0.png", "train/dog/0.png", "test/cat/0.png", "test/dog/0.png"]


def test_transparency_is_said(root):
    Image.fromarray(PIXELS).convert("LA").save(root / "cat" / "0.png")
    assert read(root).remarks == ["transparency of images is left out: 1"]


def test_what_lies_beside_images_is_said(root):
    (root / "README.txt").write_text("words")
    (root / "cat" / "deeper").mkdir()
    (root / "cat" / ".DS_Store").write_text("")
    assert read(root).remarks == ["not used: README.txt and 1 more"]


def test_the_content_differs_with_the_pixels(root):
    before = read(root).parts["train"].content
    Image.fromarray(PIXELS[::-1]).save(root / "dog" / "1.png")
    assert read(root).parts["train"].content != before


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.write_text("words"), "is no image that can be read"),
        (lambda path: path.write_bytes(b""), "is no image that can be read"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "cannot be read .*pipe"),
        (lambda path: Image.fromarray(PIXELS.astype(np.uint16) * 99).save(path), "has pixels of mode I;16: save it"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "cannot be read"),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_read_is_named(root, spoil, problem):
    spoil(root / "dog" / "0.png")
    with pytest.raises(DataError, match=problem) as caught:
        list(read(root).parts["train"].images)
    assert str(caught.value).startswith(f"mine: {root / 'dog' / '0.png'} ")
    assert "\n" not in str(caught.value)


def test_a_class_without_images_is_named(root):
    (root / "fox").mkdir()
    with pytest.raises(DataError, match=r"fox holds no image \(\.bmp, .*\): add some, or remove it"):
        read(root)


def test_a_class_that_is_tested_only_is_named(root, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (whole / part / label).mkdir(parents=True)
            Image.fromarray(PIXELS).save(whole / part / label / "0.png")
    (whole / "test" / "dog").rename(whole / "test" / "fox")
    with pytest.raises(DataError, match="an image of test has the label 'fox', and none of train has it"):
        read(whole)
