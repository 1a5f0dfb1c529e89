from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import DataError, ImageDataModule, SuperpixelDataModule
from datamodules.datasets import superpixels
from datamodules.datasets.superpixels import Recipe
from datamodules.raw.images.graphs import Slic
from datamodules.storage import GraphStore

SMALL = Recipe(1, train=6, val=4, test=4, slic=Slic(75, 95, 0.25))


def module(path: Path, **arguments) -> ImageDataModule:
    cache = path.parent / "cache"
    return ImageDataModule(str(path), **{"cache": str(cache), "processes": 1, **arguments})


def loaded(path: Path, **arguments) -> ImageDataModule:
    datamodule = module(path, **arguments)
    datamodule.prepare_data()
    datamodule.setup()
    return datamodule


def assert_same_graphs(one: GraphStore, other: GraphStore) -> None:
    ours, theirs = one.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    for part, values in ours.items():
        assert torch.equal(values, theirs[part]), part


@pytest.fixture
def pixels(draw_images) -> np.ndarray:
    """30 grey images."""
    return draw_images(30, 12, 16)


@pytest.fixture
def labels() -> np.ndarray:
    """Three classes, ten images of each."""
    return np.arange(30) % 3


@pytest.fixture
def save(tmp_path):
    """save(name, images=..., ...) writes a file of arrays and returns its path."""

    def write(name: str = "mine", **arrays) -> Path:
        np.savez(tmp_path / f"{name}.npz", **arrays)
        return tmp_path / f"{name}.npz"

    return write


@pytest.fixture
def arrays(save, pixels, labels) -> Path:
    """A file with 24 images to train on and 6 to test on."""
    return save(images=pixels[:24], labels=labels[:24], test_images=pixels[24:], test_labels=labels[24:])


def write_folder(root: Path, pixels, labels) -> Path:
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / str(label) / f"{number:03}.png")
    return root


class TestTheSameGraphs:
    def test_idx_files_give_those_of_the_published_path(self, mnist, monkeypatch):
        monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": SMALL})
        published = SuperpixelDataModule("MNIST", str(mnist), cache=str(mnist.parent / "theirs"), processes=1)
        published.setup()
        for path in (mnist / "raw").iterdir():  # our fixture has no heads
            kind = path.name.split("-")[1]
            count = 10 if path.name.startswith("train") else 4
            shape = (count, 28, 28) if kind == "images" else (count,)
            head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
            content = gzip.decompress(path.read_bytes())[len(head) :]
            path.write_bytes(gzip.compress(head + content))
        file = mnist.parent / "split.npz"
        np.savez(file, train=np.arange(6), val=np.arange(6, 10), test=np.arange(10, 14))
        own = loaded(mnist, split_file=str(file))
        assert_same_graphs(own.store, published.store)
        assert all(torch.equal(vars(own.split)[part], vars(published.split)[part]) for part in vars(own.split))

    def test_a_folder_of_images_gives_those_of_arrays(self, arrays, tmp_path, pixels, labels):
        write_folder(tmp_path / "pics" / "train", pixels[:24], labels[:24])
        write_folder(tmp_path / "pics" / "test", pixels[24:], labels[24:])
        folder, file = loaded(tmp_path / "pics"), loaded(arrays)
        for part in ("train", "test"):  # the folder's images are ordered by class
            chosen = torch.arange(24) if part == "train" else torch.arange(24, 30)
            order = chosen[torch.from_numpy(labels[chosen.numpy()]).argsort(stable=True)]
            ours, theirs = folder.store[chosen], file.store[order]
            for name in ("x", "edge_index", "edge_attr", "y", "degree_cdf"):
                assert torch.equal(ours[name], theirs[name]), name

    @pytest.mark.parametrize("channels", [(), (1,), (3,)])
    def test_floats_give_those_of_bytes(self, save, draw_images, labels, channels):
        pixels = draw_images(30, 12, 16, *(channels or (1,)))
        as_bytes = save("bytes", images=pixels.reshape(30, 12, 16, *channels), labels=labels)
        as_floats = save("floats", images=pixels / np.float32(255), labels=labels[:, None].astype(float))
        assert_same_graphs(loaded(as_bytes).store, loaded(as_floats).store)

    def test_images_may_have_different_sizes(self, tmp_path, draw_images):
        for number, shape in enumerate([(1, 1), (1, 9), (8, 8), (20, 12), (12, 20), (4, 4)] * 2):
            path = write_folder(tmp_path / "pics", draw_images(1, 20, 20)[:, : shape[0], : shape[1]], [number % 2])
            (path / str(number % 2) / "000.png").rename(path / str(number % 2) / f"{number}.png")
        store = loaded(tmp_path / "pics").store
        assert len(store) == 12
        assert int(store.num_nodes.min()) == 1


class TestParts:
    def test_those_that_are_given_are_taken(self, save, pixels, labels):
        parts = {"train": slice(0, 12), "val": slice(12, 18), "test": slice(18, 30)}
        arrays = {f"{part}_images": pixels[rows] for part, rows in parts.items()}
        named = {f"{part}_labels": labels[rows] for part, rows in parts.items()}
        split = loaded(save(**arrays, **named)).split
        assert {part: rows.tolist() for part, rows in vars(split).items()} == {
            part: list(range(30))[rows] for part, rows in parts.items()
        }

    def test_images_to_validate_on_are_drawn_from_those_to_train_on(self, arrays, labels):
        datamodule = loaded(arrays, val_share=0.25)
        split = datamodule.split
        assert split.test.tolist() == list(range(24, 30))
        assert sorted(torch.cat([split.train, split.val]).tolist()) == list(range(24))
        assert datamodule.y[split.val].bincount().tolist() == [2, 2, 2]

    def test_all_are_split_by_classes(self, save, pixels, labels):
        datamodule = loaded(save(images=pixels, labels=labels), val_share=0.2, test_share=0.2)
        for part, count in (("train", 6), ("val", 2), ("test", 2)):
            assert datamodule.y[vars(datamodule.split)[part]].bincount().tolist() == [count] * 3

    def test_or_by_folds(self, save, pixels, labels):
        path = save(images=pixels, labels=labels)
        tests = [loaded(path, split="folds", num_folds=4, fold=fold).split.test for fold in range(4)]
        assert sorted(torch.cat(tests).tolist()) == list(range(30))


class TestClasses:
    def test_names_of_folders_are_the_labels(self, tmp_path, pixels):
        datamodule = module(write_folder(tmp_path / "pics", pixels, ["dog", "cat", "ant"] * 10))
        assert datamodule.class_names == ("ant", "cat", "dog")
        assert datamodule.y.bincount().tolist() == [10, 10, 10]
        assert datamodule.ids[0] == "ant/002.png"

    def test_folders_of_numbers_are_in_their_order(self, tmp_path, pixels):
        datamodule = module(write_folder(tmp_path / "pics", pixels, [2, 10, 9] * 10))
        assert datamodule.class_names == (2, 9, 10)

    def test_words_in_arrays(self, save, pixels):
        assert module(save(images=pixels, labels=np.array(["b", "a"] * 15))).class_names == ("a", "b")


class TestCache:
    def files(self, path: Path) -> set[str]:
        return {file.parent.name for file in (path.parent / "cache").rglob("*.safetensors")}

    def test_the_same_content_is_not_built_again(self, save, pixels, labels):
        path = save(images=pixels, labels=labels)
        loaded(path)
        assert module(save("copy", images=pixels, labels=labels)).pending() == ""

    @pytest.mark.parametrize("setting", [{"segments": 20}, {"compactness": 1.0}])
    def test_images_that_are_cut_otherwise_are_built_again(self, arrays, setting):
        loaded(arrays)
        assert module(arrays, **setting).pending() == "1 of 1 thousand graphs to build"

    @pytest.mark.parametrize("what", ["pixel", "label", "shape"])
    def test_what_is_changed_is_built_again(self, save, pixels, labels, what):
        before = loaded(save(images=pixels, labels=labels)).store
        if what == "pixel":
            pixels[5, 3, 3] ^= 255
        elif what == "label":
            labels[[0, 1]] = labels[[1, 0]]
        elif what == "shape":
            pixels = pixels.reshape(30, 16, 12)
        after = module(save(images=pixels, labels=labels))
        assert after.pending() == "1 of 1 thousand graphs to build"
        after.setup()
        ours, theirs = after.store.tensors(), before.tensors()
        assert any(ours[part].shape != theirs[part].shape or not ours[part].equal(theirs[part]) for part in ours)

    def test_a_file_of_a_folder_that_is_changed_is_built_again(self, tmp_path, pixels, labels):
        root = write_folder(tmp_path / "pics", pixels, labels)
        loaded(root)
        Image.fromarray(255 - pixels[0]).save(root / "0" / "000.png")
        assert module(root).pending() == "1 of 1 thousand graphs to build"

    def test_a_file_that_changes_before_it_is_built_is_noticed(self, tmp_path, pixels, labels):
        datamodule = module(write_folder(tmp_path / "pics", pixels, labels))
        Image.fromarray(255 - pixels[0]).save(tmp_path / "pics" / "0" / "000.png")
        with pytest.raises(DataError, match=r"pics: .*000\.png was changed while graphs were built: start again"):
            datamodule.setup()
        assert self.files(tmp_path / "pics") == set()


def test_settings_of_the_cut_reach_the_graphs(arrays):
    assert int(loaded(arrays, segments=20).store.num_nodes.max()) <= 20
    assert "at most 20 by SLIC of compactness 0.5" in module(arrays, segments=20, compactness=0.5).features_are


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"segments": 1}, "segments: expected at least 2"),
        ({"compactness": 0.0}, "compactness: expected a number above 0"),
        ({"split": "folds"}, "split: has no effect, since mine has images to test on"),
        ({"fold": 3}, "fold: has no effect"),
        ({"test_share": 0.3}, "test_share: has no effect"),
        ({"processes": 0}, "processes: expected at least 1"),
        ({"split": "halves"}, "split: expected one of shares, folds"),
    ],
)
def test_settings_that_cannot_be_are_refused(arrays, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        module(arrays, **arguments)


def test_classes_need_enough_images(save, pixels, labels):
    labels[labels == 2] = 1
    labels[4] = 2
    path = save(images=pixels, labels=labels)
    with pytest.raises(DataError, match="mine: class 2 has 1 image, and needs 3 or more to train, to validate and to"):
        loaded(path)
    path = save(images=pixels, labels=labels, test_images=pixels, test_labels=labels)
    with pytest.raises(DataError, match="mine: class 2 has 1 image, and needs 2 or more to train and to validate on"):
        loaded(path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nothing", "nothing is not there: give data.path"), ("words.txt", "words.txt is no folder and no file .npz"),
     ("empty", "empty has no folder of a class")],
)  # fmt: skip
def test_what_is_no_data_is_named(tmp_path, name, sentence):
    (tmp_path / "words.txt").write_text("words")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=sentence):
        module(tmp_path / name)
