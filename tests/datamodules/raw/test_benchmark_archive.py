"""The published graphs, read through the datamodule."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from datamodules import DataError, SuperpixelDataModule
from datamodules.datasets import superpixels
from datamodules.datasets.superpixels import Recipe
from datamodules.raw import benchmark_archive
from datamodules.raw.image_graphs import Slic


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """PyG's archive with 3/2/2 graphs, in the place it belongs."""
    monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": Recipe(1, 3, 2, 2, Slic(75, 95, 0.25))})
    folder = tmp_path / "benchmark" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    graphs = [
        {"x": torch.rand(5, 1), "pos": torch.rand(5, 2), "edge_index": torch.randint(5, (2, 9)),
         "edge_attr": torch.rand(9), "y": torch.tensor([k])}
        for k in range(7)
    ]  # fmt: skip
    torch.save([graphs[:3], graphs[3:5], graphs[5:]], folder / "MNIST_v2.pt")
    return tmp_path


def test_graphs_have_colour_and_position(cache):
    datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(cache), train_size=2)
    assert datamodule.missing() == []
    datamodule.setup()
    assert datamodule.store.x.shape == (35, 3)
    assert [datamodule.store.y[part].tolist() for part in vars(datamodule.split).values()] == [
        [0, 1],
        [3, 4],
        [5, 6],
    ]
    assert datamodule.substitute == "first 2 training graphs"


def test_without_a_network_it_says_where_the_file_belongs(tmp_path, monkeypatch):
    def unreachable(*arguments):
        raise OSError("no route to host")

    monkeypatch.setattr(benchmark_archive, "GNNBenchmarkDataset", type("D", (), {
        "urls": {"MNIST": "https://host.invalid/MNIST_v2.zip"}, "__init__": unreachable}))  # fmt: skip
    datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(tmp_path))
    sentence = rf"MNIST_v2\.pt of https://host\.invalid/MNIST_v2\.zip into {tmp_path}/benchmark/MNIST/raw"
    assert len(datamodule.missing()) == 1
    with pytest.raises(DataError, match=rf"no route to host.*put {sentence}"):
        datamodule.setup()


def test_a_cut_archive_is_named(cache):
    path = cache / "benchmark" / "MNIST" / "raw" / "MNIST_v2.pt"
    path.write_bytes(path.read_bytes()[:200])
    datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(cache))
    with pytest.raises(DataError, match="MNIST: the benchmark's archive: cannot be read"):
        datamodule.setup()
