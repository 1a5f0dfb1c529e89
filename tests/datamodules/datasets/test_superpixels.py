from __future__ import annotations

import gzip
import hashlib
import multiprocessing
import os
import pickle
import tarfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import DataError, SuperpixelDataModule
from datamodules.datasets import superpixels
from datamodules.datasets.superpixels import Recipe
from datamodules.raw import benchmark_archive, images
from datamodules.raw.image_graphs import Slic, segment_means, segments, similar_nodes
from datamodules.raw.images import Cifar10Batches, Cifar10Shards, MnistFiles, image_files

SLIC = Slic(75, 95, 0.25)


def pictures(count: int, *shape: int) -> np.ndarray:
    """Blocks of colour, so that segments differ."""
    rng = np.random.default_rng(0)
    height, width, *channels = shape
    return rng.integers(0, 256, (count, height // 4, width // 4, *channels), np.uint8).repeat(4, 1).repeat(4, 2)


def write_mnist(folder: Path, train: int, test: int) -> dict[str, tuple[int, str]]:
    """idx files of so many images; returns the table of their sizes and hashes."""
    folder.mkdir(parents=True)
    table = {}
    pixels, first = pictures(train + test, 28, 28), 0
    for part, count in (("train", train), ("t10k", test)):
        content = {
            f"{part}-images-idx3-ubyte": bytes(16) + pixels[first : first + count].tobytes(),
            f"{part}-labels-idx1-ubyte": bytes(8) + bytes(k % 10 for k in range(count)),
        }
        first += count
        for name, data in content.items():
            table[name] = (len(data), hashlib.sha256(data).hexdigest())
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, compresslevel=1))
    return table


@pytest.fixture
def mnist(tmp_path, monkeypatch) -> Path:
    """A root with 14 images, 6/4/4, in chunks of 4."""
    monkeypatch.setattr(images, "MNIST_FILES", write_mnist(tmp_path / "mnist" / "raw", 10, 4))
    monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": Recipe(1, 6, 4, 4, SLIC)})
    monkeypatch.setattr(superpixels, "CHUNK", 4)
    return tmp_path / "mnist"


def module(root: Path, **arguments) -> SuperpixelDataModule:
    return SuperpixelDataModule("MNIST", str(root), cache=str(root.parent / "cache"), processes=1, **arguments)


def loaded(root: Path, **arguments) -> SuperpixelDataModule:
    datamodule = module(root, **arguments)
    datamodule.prepare_data()
    datamodule.setup()
    return datamodule


def chunks(root: Path) -> list[Path]:
    return sorted((root.parent / "cache").rglob("*.safetensors"))


def test_graphs_are_those_of_the_images(mnist):
    datamodule = loaded(mnist)
    pixels, labels = MnistFiles(mnist).read()
    for part, first in (("train", 0), ("val", 6), ("test", 10)):
        batch = datamodule.store[getattr(datamodule.split, part)]
        assert batch.y.tolist() == labels[first : first + batch.num_graphs].tolist()
        for number in range(batch.num_graphs):
            scaled = pixels[first + number] / np.float32(255)
            nodes = segment_means(scaled, segments(scaled, SLIC))
            mine = batch.x[batch.ptr[number] : batch.ptr[number + 1]].numpy()
            assert np.array_equal(mine, np.concatenate(nodes, axis=1))
            edges, weights = similar_nodes(*nodes)
            start, end = batch.ptr[number], batch.ptr[number + 1]
            inside = (batch.edge_index[0] >= start) & (batch.edge_index[0] < end)
            local = (batch.edge_index[:, inside] - start).T.tolist()
            found = dict(zip(map(tuple, local), batch.edge_attr[inside].tolist(), strict=True))
            assert found == dict(zip(map(tuple, edges.T.tolist()), weights.tolist(), strict=True))
    assert datamodule.substitute == "superpixels built from the images"


def test_a_part_of_the_training_graphs_needs_only_their_chunks(mnist):
    whole = loaded(mnist)
    for chunk in chunks(mnist):
        chunk.unlink()
    part = loaded(mnist, train_size=3)
    assert [path.stem for path in chunks(mnist)] == ["000", "001", "002", "003"]  # validation begins in 001
    assert part.split.train.tolist() == [0, 1, 2]
    assert part.substitute.endswith("first 3 training graphs")
    for name in ("val", "test"):
        ours, theirs = (data.store[getattr(data.split, name)] for data in (part, whole))
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.y, theirs.y)


def test_chunks_that_are_not_needed_are_not_built(mnist, monkeypatch):
    monkeypatch.setattr(superpixels, "CHUNK", 2)
    part = loaded(mnist, train_size=1)
    assert [path.stem for path in chunks(mnist)] == ["000", "003", "004", "005", "006"]
    assert part.store[part.split.test].y.tolist() == [0, 1, 2, 3]
    assert part.store[part.split.val].y.tolist() == [6, 7, 8, 9]


def test_the_epoch_may_be_chosen_by_fewer_graphs(mnist, monkeypatch):
    whole = loaded(mnist)
    for chunk in chunks(mnist):
        chunk.unlink()
    monkeypatch.setattr(superpixels, "CHUNK", 2)
    part = loaded(mnist, train_size=1, val_size=2)
    assert [path.stem for path in chunks(mnist)] == ["000", "003", "005", "006"]
    val = part.store[part.split.val]
    assert torch.equal(val.x, whole.store[whole.split.val[:2]].x)
    assert val.num_graphs == 2
    assert len(part.split.test) == len(whole.split.test)
    assert part.substitute.endswith("first 1 training graphs; first 2 validation graphs")


def test_an_interrupted_build_continues_where_it_stood(mnist, monkeypatch):
    expected = loaded(mnist).store.tensors()
    for chunk in chunks(mnist):
        chunk.unlink()
    original, calls = superpixels.superpixel_graphs, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(superpixels, "superpixel_graphs", interrupt)
        with pytest.raises(KeyboardInterrupt):
            module(mnist).prepare_data()
        assert len(chunks(mnist)) == 2
        before = [path.stat().st_mtime_ns for path in chunks(mnist)]
        calls.extend([()] * 10)
        resumed = loaded(mnist)
    assert len(calls) == 3 + 10 + 2
    assert [path.stat().st_mtime_ns for path in chunks(mnist)][:2] == before
    for part, tensor in expected.items():
        assert torch.equal(resumed.store.tensors()[part], tensor), part


def test_what_a_kill_left_of_a_write_is_removed_in_time(mnist):
    loaded(mnist)
    folder = chunks(mnist)[0].parent
    chunks(mnist)[1].unlink()
    old, fresh = folder / ".001.safetensors.old", folder / ".001.safetensors.fresh"
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    loaded(mnist)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_finished_build_needs_no_images(mnist):
    loaded(mnist)
    for path in (mnist / "raw").iterdir():
        path.unlink()
    assert module(mnist).missing() == []
    assert len(loaded(mnist).store) == 14


def test_a_damaged_chunk_is_named(mnist):
    datamodule = loaded(mnist)
    path = chunks(mnist)[1]
    path.write_bytes(path.read_bytes()[:100])
    datamodule = module(mnist)
    with pytest.raises(DataError, match=r"MNIST: .*001\.safetensors is damaged: delete it"):
        datamodule.setup()


def test_nothing_is_written_beside_the_images(mnist):
    before = sorted(mnist.rglob("*"))
    loaded(mnist)
    assert sorted(mnist.rglob("*")) == before


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: content[: len(content) // 2], "is cut or damaged"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-5]), "is cut (3147 of 3152 bytes)"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-1] + b"x"), "is not the published file"),
        (lambda content: b"not gzip", "is cut or damaged"),
    ],
)
def test_a_damaged_idx_file_is_named(mnist, damage, problem):
    path = mnist / "raw" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        loaded(mnist)
    sentence = str(caught.value)
    for word in ("MNIST: t10k-images-idx3-ubyte.gz", problem, images.MNIST_URL, str(mnist / "raw")):
        assert word in sentence
    assert chunks(mnist) == []


def test_missing_images_are_named(tmp_path):
    datamodule = SuperpixelDataModule("MNIST", str(tmp_path), cache=str(tmp_path / "cache"))
    assert len(datamodule.missing()) == 4
    assert f"{images.MNIST_URL}/train-images-idx3-ubyte.gz into {tmp_path / 'raw'}" in datamodule.missing()
    datamodule = SuperpixelDataModule("CIFAR10", str(tmp_path), cache=str(tmp_path / "cache"))
    with pytest.raises(DataError, match=rf"CIFAR-10: the images are missing: put {images.CIFAR10_URL} into"):
        datamodule.prepare_data()


@pytest.mark.parametrize(
    ("name", "features"), [("MNIST", 3), ("CIFAR10", 5)]
)  # fmt: skip
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


class Pictures:
    """A hundred images made on the spot."""

    variant = substitute = ""

    def missing(self) -> list[str]:
        return []

    def download(self) -> None:
        pass

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return pictures(100, 28, 28), np.arange(100, dtype=np.uint8) % 10


@pytest.fixture
def made_up(monkeypatch) -> None:
    """100 images in 20 chunks."""
    monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": Recipe(1, 60, 20, 20, SLIC)})
    monkeypatch.setattr(superpixels, "CHUNK", 5)
    monkeypatch.setattr(superpixels, "image_files", lambda name, root: Pictures())


def test_a_killed_build_leaves_whole_chunks_and_continues(made_up, tmp_path):
    root = tmp_path / "mnist"
    build = multiprocessing.get_context("fork").Process(target=module(root).prepare_data)
    build.start()
    while len(chunks(root)) < 3 and build.is_alive():
        time.sleep(0.005)
    build.kill()
    build.join()
    finished = {path: path.stat().st_mtime_ns for path in chunks(root)}
    assert 3 <= len(finished) < 20

    resumed = loaded(root)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(chunks(root)) == 20
    undisturbed = superpixels.superpixel_graphs("MNIST", SLIC, *Pictures().read())
    for part, tensor in undisturbed.tensors().items():
        assert torch.equal(resumed.store.tensors()[part], tensor), part


def test_several_processes_build_the_same_graphs(mnist, monkeypatch):
    # Forked here, since to import everything in new processes takes tens of seconds.
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(superpixels, "get_context", {"spawn": fork}.__getitem__)
    expected = loaded(mnist).store.tensors()
    other = SuperpixelDataModule("MNIST", str(mnist), cache=str(mnist.parent / "other"), processes=2)
    other.prepare_data()
    other.setup()
    for part, tensor in expected.items():
        assert torch.equal(other.store.tensors()[part], tensor), part


class TestCifar10:
    @pytest.fixture
    def small(self, monkeypatch):
        monkeypatch.setattr(images, "CIFAR10_SIZES", {"train": 6, "test": 2})

    def write_shards(self, root: Path) -> np.ndarray:
        pixels = pictures(8, 32, 32, 3)
        for name, numbers in {"train_00": range(4), "train_01": range(4, 6), "test_00": range(6, 8)}.items():
            files = [BytesIO() for _ in numbers]
            for file, number in zip(files, numbers, strict=True):
                Image.fromarray(pixels[number]).save(file, "JPEG", quality=100)
            np.savez(
                root / f"{name}.npz",
                jpeg=np.frombuffer(b"".join(file.getvalue() for file in files), np.uint8),
                size=np.array([len(file.getvalue()) for file in files], np.uint16),
                label=np.array(list(numbers), np.uint8),
            )
        return pixels

    def test_shards(self, tmp_path, small):
        pixels = self.write_shards(tmp_path)
        files = image_files("CIFAR10", tmp_path)
        found, labels = files.read()
        assert isinstance(files, Cifar10Shards)
        assert "JPEG" in files.substitute
        assert labels.tolist() == list(range(8))
        assert np.abs(found.astype(int) - pixels).mean() < 20

    def test_a_missing_shard_is_noticed(self, tmp_path, small):
        self.write_shards(tmp_path)
        (tmp_path / "train_01.npz").unlink()
        with pytest.raises(DataError, match=r"shards train_\*\.npz in .* hold 4 images, expected 6"):
            image_files("CIFAR10", tmp_path).read()

    @pytest.mark.parametrize("keep", [0, 100, 2000])
    def test_a_cut_shard_is_named(self, tmp_path, small, keep):
        self.write_shards(tmp_path)
        path = tmp_path / "train_01.npz"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(DataError, match=r"train_01\.npz is cut or damaged"):
            image_files("CIFAR10", tmp_path).read()

    @pytest.fixture
    def short_batches(self, monkeypatch):
        monkeypatch.setattr(images, "CIFAR10_BATCH", 10)

    def write_batches(self, folder: Path) -> None:
        folder.mkdir()
        for k, name in enumerate(images.CIFAR10_BATCHES):
            planes = np.zeros((10, 3072), np.uint8)
            planes[:, 0], planes[:, 1024] = k, 100 + k  # red and green at (0, 0)
            planes[:, 2048 + 33] = 200  # blue at (1, 1)
            content = {"data": planes, "labels": [k] * 10}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))

    @pytest.mark.parametrize("packed", [False, True])
    def test_batches(self, tmp_path, short_batches, packed):
        folder = tmp_path / "cifar-10-batches-py"
        self.write_batches(folder)
        if packed:
            with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz", compresslevel=1) as archive:
                archive.add(folder, folder.name)
            for path in folder.iterdir():
                path.unlink()
        files = image_files("CIFAR10", tmp_path)
        found, labels = files.read()
        assert isinstance(files, Cifar10Batches)
        assert found.shape == (60, 32, 32, 3)
        assert found[10, 0, 0].tolist() == [1, 101, 0]
        assert found[10, 1, 1].tolist() == [0, 0, 200]
        assert labels[9:11].tolist() == [0, 1]

    @pytest.mark.parametrize("damage", [lambda c: c[:-10], lambda c: b"", lambda c: pickle.dumps({"data": [1]}),
                                        lambda c: pickle.dumps(os.system)])  # fmt: skip
    def test_a_damaged_batch_is_named(self, tmp_path, short_batches, damage):
        self.write_batches(tmp_path / "cifar-10-batches-py")
        path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(DataError, match=rf"CIFAR-10: data_batch_2 is cut or damaged .*put {images.CIFAR10_URL}"):
            image_files("CIFAR10", tmp_path).read()

    def test_a_cut_archive_is_named(self, tmp_path):
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(bytes(5000))[:-10])
        with pytest.raises(DataError, match="CIFAR-10: data_batch_1 is cut or damaged"):
            image_files("CIFAR10", tmp_path).read()


class TestBenchmarkArchive:
    @pytest.fixture
    def cache(self, tmp_path, monkeypatch) -> Path:
        """PyG's archive with 3/2/2 graphs, in the place it belongs."""
        monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": Recipe(1, 3, 2, 2, SLIC)})
        folder = tmp_path / "benchmark" / "MNIST" / "raw"
        folder.mkdir(parents=True)
        graphs = [
            {"x": torch.rand(5, 1), "pos": torch.rand(5, 2), "edge_index": torch.randint(5, (2, 9)),
             "edge_attr": torch.rand(9), "y": torch.tensor([k])}
            for k in range(7)
        ]  # fmt: skip
        torch.save([graphs[:3], graphs[3:5], graphs[5:]], folder / "MNIST_v2.pt")
        return tmp_path

    def test_graphs_have_colour_and_position(self, cache):
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

    def test_without_a_network_it_says_where_the_file_belongs(self, tmp_path, monkeypatch):
        def unreachable(*arguments):
            raise OSError("no route to host")

        monkeypatch.setattr(benchmark_archive, "GNNBenchmarkDataset", type("D", (), {
            "urls": {"MNIST": "https://host.invalid/MNIST_v2.zip"}, "__init__": unreachable}))  # fmt: skip
        datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(tmp_path))
        sentence = rf"MNIST_v2\.pt of https://host\.invalid/MNIST_v2\.zip into {tmp_path}/benchmark/MNIST/raw"
        assert len(datamodule.missing()) == 1
        with pytest.raises(DataError, match=rf"no route to host.*put {sentence}"):
            datamodule.setup()

    def test_a_cut_archive_is_named(self, cache):
        path = cache / "benchmark" / "MNIST" / "raw" / "MNIST_v2.pt"
        path.write_bytes(path.read_bytes()[:200])
        datamodule = SuperpixelDataModule("MNIST", source="benchmark", cache=str(cache))
        with pytest.raises(DataError, match="MNIST: the benchmark's archive: cannot be read"):
            datamodule.setup()


@pytest.mark.data
def test_the_real_images(mnist_root):
    pixels, labels = MnistFiles(mnist_root).read()
    assert pixels.shape == (70000, 28, 28)
    assert np.bincount(labels).tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
