"""The published graphs, read through the datamodule."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch

from datamodules import DataError, SuperpixelDataModule
from datamodules.datasets import superpixels
from datamodules.datasets.superpixels import Recipe
from datamodules.raw.images import benchmark_archive
from datamodules.raw.images.graphs import Slic


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
    def unreachable(url):
        raise OSError("no route to host")

    monkeypatch.setattr(benchmark_archive, "fetch", unreachable)
    datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(tmp_path))
    sentence = rf"MNIST_v2\.pt of https://data\.pyg\.org/\S+/MNIST_v2\.zip into {tmp_path}/benchmark/MNIST/raw"
    assert len(datamodule.missing()) == 1
    with pytest.raises(DataError, match=rf"no route to host.*put {sentence}"):
        datamodule.setup()


def test_a_cut_archive_is_named(cache):
    path = cache / "benchmark" / "MNIST" / "raw" / "MNIST_v2.pt"
    path.write_bytes(path.read_bytes()[:200])
    datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(cache))
    with pytest.raises(DataError, match="MNIST: the benchmark's archive: cannot be read"):
        datamodule.setup()


def test_a_download_is_unpacked_where_it_belongs(cache, monkeypatch):
    path = cache / "benchmark" / "MNIST" / "raw" / "MNIST_v2.pt"
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        archive.write(path, path.name)
        archive.writestr("../../evil", "")
    path.unlink()
    monkeypatch.setattr(benchmark_archive, "fetch", lambda url: content.getvalue())
    datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(cache))
    assert len(datamodule.missing()) == 1
    datamodule.setup()
    assert len(datamodule.store) == 7
    assert not list(cache.rglob("evil"))


class Dangerous:
    """Its pickle makes a folder when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def hostile_graphs(path: Path, executed: Path) -> None:
    torch.save([[Dangerous(executed)], [], []], path)


def pipe(path: Path, executed: Path) -> None:
    os.mkfifo(path)


def compressed(path: Path, executed: Path) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))


def no_tensors(path: Path, executed: Path) -> None:
    torch.save({"graphs": 3}, path)


def no_graphs(path: Path, executed: Path) -> None:
    torch.save([[3, 4, 5], [1, 2], [1, 2]], path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (hostile_graphs, "cannot be read .it names .*mkdir, which no tensor needs"),
        (pipe, "cannot be read .*a pipe or a device"),
        (compressed, "cannot be read .archive/data/0 in it is compressed"),
        (no_tensors, "6 graphs in train, expected 3"),
        (no_graphs, "cannot be read"),
    ],
)
def test_a_hostile_archive_is_named_and_runs_nothing(cache, write, words):
    path = cache / "benchmark" / "MNIST" / "raw" / "MNIST_v2.pt"
    path.unlink()
    write(path, cache / "executed")
    with pytest.raises(DataError, match=f"^MNIST: the benchmark's archive: {words}") as caught:
        SuperpixelDataModule("MNIST", source="benchmark", cache=str(cache)).setup()
    assert "\n" not in str(caught.value)
    assert not (cache / "executed").exists()


def test_what_pyg_kept_beside_it_is_not_read(cache):
    folder = cache / "benchmark" / "MNIST" / "processed"
    folder.mkdir()
    for part in ("train", "val", "test"):
        torch.save(Dangerous(cache / "executed"), folder / f"{part}_data.pt")
    SuperpixelDataModule("MNIST", source="benchmark", cache=str(cache)).setup()
    assert not (cache / "executed").exists()
