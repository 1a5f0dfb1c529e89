from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import DataError, SuperpixelDataModule
from datamodules.datasets import superpixels
from datamodules.datasets.superpixels import Recipe
from datamodules.raw.images import published
from datamodules.raw.images.graphs import Slic, segment_means, segments, similar_nodes
from datamodules.raw.images.published import MnistFiles

SMALL = Recipe(1, train=6, val=4, test=4, slic=Slic(75, 95, 0.25), images_per_file=4)


@pytest.fixture
def mnist(mnist, monkeypatch) -> Path:
    """A folder with 14 images, known to the datamodule; their graphs are kept four to a file."""
    monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": SMALL})
    return mnist


@pytest.fixture
def two_to_a_file(mnist, monkeypatch) -> None:
    """Files of two images instead of four."""
    monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": replace(SMALL, images_per_file=2)})


def module(root: Path, **arguments) -> SuperpixelDataModule:
    return SuperpixelDataModule("MNIST", str(root), cache=str(root.parent / "cache"), processes=1, **arguments)


def loaded(root: Path, **arguments) -> SuperpixelDataModule:
    datamodule = module(root, **arguments)
    datamodule.prepare_data()
    datamodule.setup()
    return datamodule


def files(root: Path) -> list[Path]:
    return sorted((root.parent / "cache").rglob("*.safetensors"))


def part_of(datamodule: SuperpixelDataModule, part: str):
    return datamodule.store[getattr(datamodule.split, part)]


@pytest.mark.parametrize(("part", "first", "count"), [("train", 0, 6), ("val", 6, 4), ("test", 10, 4)])
def test_graphs_are_those_of_the_images(mnist, part, first, count):
    pixels, labels = MnistFiles(mnist).read()
    batch = part_of(loaded(mnist), part)
    assert batch.y.tolist() == labels[first : first + count].tolist()
    for number in range(count):
        scaled = pixels[first + number] / np.float32(255)
        nodes = segment_means(scaled, segments(scaled, SMALL.slic))
        edges, weights = similar_nodes(*nodes)
        start, end = batch.ptr[number], batch.ptr[number + 1]
        inside = (batch.edge_index[0] >= start) & (batch.edge_index[0] < end)
        local = (batch.edge_index[:, inside] - start).T.tolist()
        assert np.array_equal(batch.x[start:end].numpy(), np.concatenate(nodes, axis=1))
        found = dict(zip(map(tuple, local), batch.edge_attr[inside].tolist(), strict=True))
        assert found == dict(zip(map(tuple, edges.T.tolist()), weights.tolist(), strict=True))


def test_a_build_of_0_1_0_is_not_taken_for_this_one(mnist):
    loaded(mnist)
    folder = files(mnist)[0].parent
    old = folder.rename(folder.parent / "mnist-slic75-0.25-knn8")  # as 0.1.0 called it
    assert module(mnist).pending() == "4 of 4 thousand graphs to build"
    loaded(mnist)
    assert len(list(old.iterdir())) == len(list(folder.iterdir())) == 4


def test_tables_say_that_the_graphs_were_built_here(mnist):
    assert loaded(mnist).substitute == "superpixels built from the images"


def test_fewer_training_graphs_are_the_first_ones(mnist):
    whole, part = loaded(mnist), loaded(mnist, train_size=3)
    assert part.split.train.tolist() == [0, 1, 2]
    assert part.substitute.endswith("first 3 training graphs")
    for name in ("val", "test"):
        ours, theirs = part_of(part, name), part_of(whole, name)
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.y, theirs.y)


def test_fewer_validation_graphs_are_the_first_ones(mnist, two_to_a_file):
    whole, part = loaded(mnist), loaded(mnist, train_size=1, val_size=2)
    assert torch.equal(part_of(part, "val").x, part_of(whole, "val").x[: len(part_of(part, "val").x)])
    assert part_of(part, "val").num_graphs == 2
    assert len(part.split.test) == len(whole.split.test)
    assert part.substitute.endswith("first 1 training graphs; first 2 validation graphs")


def test_files_of_four_that_hold_a_graph_in_use_are_built(mnist):
    loaded(mnist, train_size=3)
    assert [path.stem for path in files(mnist)] == ["000", "001", "002", "003"]  # validation begins in 001


@pytest.mark.parametrize(
    ("sizes", "built"),
    [({"train_size": 1}, ["000", "003", "004", "005", "006"]),
     ({"train_size": 1, "val_size": 2}, ["000", "003", "005", "006"])],
)  # fmt: skip
def test_files_without_a_graph_in_use_are_not_built(mnist, two_to_a_file, sizes, built):
    part = loaded(mnist, **sizes)
    assert [path.stem for path in files(mnist)] == built
    assert part_of(part, "test").y.tolist() == [0, 1, 2, 3]
    assert part_of(part, "val").y.tolist() == [6, 7, 8, 9][: sizes.get("val_size")]


def test_what_is_left_to_build_is_pending(mnist):
    assert module(mnist).pending() == "4 of 4 thousand graphs to build"
    module(mnist).prepare_data()
    files(mnist)[2].unlink()
    assert module(mnist).pending() == "1 of 4 thousand graphs to build"
    module(mnist).prepare_data()
    assert module(mnist).pending() == ""


def test_a_finished_build_needs_no_images(mnist):
    loaded(mnist)
    for path in (mnist / "raw").iterdir():
        path.unlink()
    assert module(mnist).missing() == []
    assert len(loaded(mnist).store) == 14


def test_a_damaged_file_is_named(mnist):
    loaded(mnist)
    path = files(mnist)[1]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"MNIST: .*001\.safetensors is damaged: delete it"):
        module(mnist).setup()


def test_nothing_is_built_of_damaged_images(mnist):
    path = mnist / "raw" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"MNIST: t10k-images-idx3-ubyte\.gz is cut or damaged"):
        loaded(mnist)
    assert files(mnist) == []


def test_nothing_is_written_beside_the_images(mnist):
    before = sorted(mnist.rglob("*"))
    loaded(mnist)
    assert sorted(mnist.rglob("*")) == before


def test_missing_files_of_mnist_are_named(tmp_path):
    missing = SuperpixelDataModule("MNIST", str(tmp_path), cache=str(tmp_path / "cache")).missing()
    assert len(missing) == 4
    assert f"{published.MNIST_URL}/train-images-idx3-ubyte.gz into {tmp_path / 'raw'}" in missing


def test_missing_images_of_cifar10_are_named(tmp_path):
    datamodule = SuperpixelDataModule("CIFAR10", str(tmp_path), cache=str(tmp_path / "cache"))
    with pytest.raises(DataError, match=rf"CIFAR-10: the images are missing: put {published.CIFAR10_URL} into"):
        datamodule.prepare_data()


@pytest.mark.parametrize(("name", "features"), [("MNIST", 3), ("CIFAR10", 5)])
def test_attributes_are_known_before_the_disk_is_touched(name, features):
    datamodule = SuperpixelDataModule(name, "nowhere")
    assert (datamodule.name, datamodule.num_features, datamodule.num_classes) == (name, features, 10)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "mnist"}, "name: expected one of MNIST, CIFAR10"),
        ({"name": "MNIST", "train_size": 55001}, "train_size: expected 1 to 55000, got 55001"),
        ({"name": "MNIST", "train_size": 0}, "train_size"),
        ({"name": "MNIST", "val_size": 5001}, "val_size: expected 1 to 5000, got 5001"),
        ({"name": "MNIST", "val_size": 0}, "val_size"),
        ({"name": "MNIST", "processes": 0}, "processes: expected at least 1"),
        ({"name": "MNIST", "source": "web"}, "source: expected one of images, benchmark"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SuperpixelDataModule(**arguments)
