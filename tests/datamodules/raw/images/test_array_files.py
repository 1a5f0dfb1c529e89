from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from datamodules import DataError
from datamodules.raw.images.array_files import idx_files, idx_images, npz_images

PIXELS = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
LABELS = np.array([3, 1, 3, 1], np.uint8)


def idx(values: np.ndarray, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of images to train on."""
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    return tmp_path


def read(folder: Path):
    return idx_images("mine", idx_files(folder))


class TestIdx:
    def test_files_are_gzipped_or_not(self, folder):
        (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(PIXELS[:2])))
        (folder / "t10k-labels.idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:2])))
        found = read(folder).check("mine")
        assert list(found.parts) == ["train", "test"]
        assert np.array_equal(found.parts["train"].images, PIXELS)
        assert np.array_equal(found.parts["test"].images, PIXELS[:2])
        assert found.labels == [3, 1, 3, 1, 3, 1]

    def test_a_file_goes_before_its_gz(self, folder):
        (folder / "train-images-idx3-ubyte.gz").write_bytes(b"left behind")
        assert np.array_equal(read(folder).parts["train"].images, PIXELS)

    def test_a_file_without_labels_or_images_is_named(self, folder):
        (folder / "t10k-images-idx3-ubyte").write_bytes(idx(PIXELS))
        with pytest.raises(DataError, match="t10k-images-idx3-ubyte is there and no file of its labels"):
            read(folder)

    def test_two_sets_in_a_folder_are_not_mixed(self, folder):
        (folder / "letters-train-images-idx3-ubyte").write_bytes(idx(PIXELS))
        with pytest.raises(DataError, match="are both images of train: keep one"):
            read(folder)

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "it is no idx file"),
            (b"\0\0\x08\x03\0", "it is no idx file"),
            (idx(PIXELS)[:-1], r"it has 23 values, its shape \[4, 2, 3\] needs 24"),
            (bytes([0, 0, 8, 3]) + b"\xff" * 12, "it has 0 values, its shape"),
            (idx(PIXELS.astype(">f4"), kind=13), "its values are of type 0x0d, expected unsigned bytes"),
            (gzip.compress(idx(PIXELS), mtime=0)[:-9], "Compressed file ended"),
            (idx(LABELS), r"images of shape \[4\], expected \[n, height, width\]"),
            (idx(PIXELS[:3]), "3 images and 4 labels"),
        ],
    )
    def test_a_damaged_file_is_named(self, folder, content, problem):
        (folder / "train-images-idx3-ubyte").write_bytes(content)
        with pytest.raises(DataError, match=problem) as caught:
            read(folder)
        assert "train-images-idx3-ubyte" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestNpz:
    def test_labels_are_a_column_or_words(self, tmp_path):
        np.savez(tmp_path / "mine.npz", images=PIXELS[..., None], labels=np.array([["b"], ["a"], ["b"], ["a"]]))
        part = npz_images("mine", tmp_path / "mine.npz").parts["train"]
        assert np.array_equal(part.images, PIXELS)
        assert part.labels == ["b", "a", "b", "a"]

    def test_what_is_not_used_is_said(self, tmp_path):
        np.savez(tmp_path / "mine.npz", images=PIXELS, labels=LABELS, notes=np.arange(3))
        assert npz_images("mine", tmp_path / "mine.npz").remarks == ["not used: notes in mine.npz"]

    @pytest.mark.parametrize(
        ("arrays", "problem"),
        [
            ({"images": PIXELS}, "has no `labels`"),
            ({"labels": LABELS}, "has no `images`"),
            ({"x": PIXELS}, "has no `images`: expected `images` and `labels`"),
            ({"images": PIXELS, "labels": LABELS, "test_images": PIXELS}, "has no `test_labels`"),
            ({"images": PIXELS, "labels": LABELS, "train_images": PIXELS}, "`images` and `train_images`: keep one"),
            ({"images": PIXELS, "labels": LABELS[:3]}, "4 images and 3 labels"),
            ({"images": PIXELS[0], "labels": LABELS}, r"images of shape \[2, 3\]"),
            ({"images": np.zeros((4, 3, 8, 9), np.uint8), "labels": LABELS}, r"images of shape \[4, 3, 8, 9\]"),
            ({"images": PIXELS[:0], "labels": LABELS[:0]}, "no images"),
            ({"images": PIXELS.astype(int), "labels": LABELS}, "pixels are int64, expected uint8"),
            ({"images": PIXELS > 3, "labels": LABELS}, "pixels are bool, expected uint8"),
            ({"images": PIXELS.astype(float), "labels": LABELS}, "floats from 0 to 23, expected 0 to 1"),
            ({"images": np.full((4, 2, 3), np.nan), "labels": LABELS}, "floats from nan to nan"),
            ({"images": PIXELS, "labels": np.eye(4)}, r"labels of shape \[4, 4\]"),
            ({"images": PIXELS, "labels": LABELS, "val_images": PIXELS, "val_labels": LABELS}, "none to test on"),
            ({"test_images": PIXELS, "test_labels": LABELS}, "no images to train on, only test"),
            ({"images": PIXELS, "labels": LABELS * 0}, "all images have the label 0"),
            (
                {"images": PIXELS, "labels": LABELS, "test_images": PIXELS, "test_labels": LABELS + 1},
                "an image of test has the label 4, and none of train has it",
            ),
            (
                {"images": PIXELS, "labels": LABELS, "test_images": np.stack([PIXELS] * 3, -1), "test_labels": LABELS},
                "images of train are grey, those of test have colours",
            ),
            ({"images": PIXELS, "labels": np.array([{}, {}, {}, {}])}, r"labels\.npy holds objects"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_used_is_one_sentence(self, tmp_path, arrays, problem):
        np.savez(tmp_path / "mine.npz", **arrays)
        with pytest.raises(DataError, match=problem) as caught:
            npz_images("mine", tmp_path / "mine.npz").check("mine")
        assert str(caught.value).startswith("mine: ")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
    def test_a_damaged_file_is_named(self, tmp_path, content):
        (tmp_path / "mine.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"mine\.npz cannot be read .*: save it again"):
            npz_images("mine", tmp_path / "mine.npz")

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "mine.npz")
        with pytest.raises(DataError, match="a pipe or a device"):
            npz_images("mine", tmp_path / "mine.npz")
