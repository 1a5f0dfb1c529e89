from __future__ import annotations

import gzip
import os
import pickle
import tarfile
from hashlib import md5
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError
from datamodules.raw.images import published
from datamodules.raw.images.published import Cifar10Batches, Cifar10Shards, MnistFiles, image_files


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
        MnistFiles(mnist).read()
    sentence = str(caught.value)
    for word in ("MNIST: t10k-images-idx3-ubyte.gz", problem, published.MNIST_URL, str(mnist / "raw")):
        assert word in sentence


class TestCifar10:
    @pytest.fixture
    def small(self, monkeypatch):
        monkeypatch.setattr(published, "CIFAR10_SIZES", {"train": 6, "test": 2})

    def write_shards(self, root: Path, pixels: np.ndarray) -> None:
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

    def test_shards(self, draw_images, tmp_path, small):
        pixels = draw_images(8, 32, 32, 3)
        self.write_shards(tmp_path, pixels)
        files = image_files("CIFAR10", tmp_path)
        found, labels = files.read()
        assert isinstance(files, Cifar10Shards)
        assert "JPEG" in files.substitute
        assert labels.tolist() == list(range(8))
        assert np.abs(found.astype(int) - pixels).mean() < 20

    def test_a_missing_shard_is_noticed(self, draw_images, tmp_path, small):
        self.write_shards(tmp_path, draw_images(8, 32, 32, 3))
        (tmp_path / "train_01.npz").unlink()
        with pytest.raises(DataError, match=r"shards train_\*\.npz in .* hold 4 images, expected 6"):
            image_files("CIFAR10", tmp_path).read()

    @pytest.mark.parametrize("keep", [0, 100, 2000])
    def test_a_cut_shard_is_named(self, draw_images, tmp_path, small, keep):
        self.write_shards(tmp_path, draw_images(8, 32, 32, 3))
        path = tmp_path / "train_01.npz"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(DataError, match=r"train_01\.npz is cut or damaged"):
            image_files("CIFAR10", tmp_path).read()

    @pytest.fixture
    def short_batches(self, monkeypatch):
        monkeypatch.setattr(published, "CIFAR10_BATCH", 10)

    def write_batches(self, folder: Path, monkeypatch) -> None:
        folder.mkdir()
        known = {}
        for k, name in enumerate(published.CIFAR10_BATCHES):
            planes = np.zeros((10, 3072), np.uint8)
            planes[:, 0], planes[:, 1024] = k, 100 + k  # red and green at (0, 0)
            planes[:, 2048 + 33] = 200  # blue at (1, 1)
            content = {"data": planes, "labels": [k] * 10}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
            known[name] = md5((folder / name).read_bytes()).hexdigest()
        monkeypatch.setattr(published, "CIFAR10_BATCHES", known)

    @pytest.mark.parametrize("packed", [False, True])
    def test_batches(self, tmp_path, short_batches, packed, monkeypatch):
        folder = tmp_path / "cifar-10-batches-py"
        self.write_batches(folder, monkeypatch)
        if packed:
            with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz", compresslevel=1) as archive:
                archive.add(folder, folder.name)
            content = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
            monkeypatch.setattr(published, "CIFAR10_ARCHIVE", md5(content).hexdigest())
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
    def test_a_damaged_batch_is_named(self, tmp_path, short_batches, damage, monkeypatch):
        self.write_batches(tmp_path / "cifar-10-batches-py", monkeypatch)
        path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(DataError, match=rf"CIFAR-10: data_batch_2 is cut or damaged .*put {published.CIFAR10_URL}"):
            image_files("CIFAR10", tmp_path).read()

    @pytest.mark.parametrize(("damage", "words"), [
        (lambda c: pickle.dumps({"data": np.array([[0]], dtype=object), "labels": []}), "holds an array of 'O8'"),
        (lambda c: pickle.dumps({"data": [1], "labels": []}), "reshape"),
        (lambda c: pickle.dumps(os.system), "names posix.system"),
    ])  # fmt: skip
    def test_a_pickle_with_the_known_sum_makes_numbers_only(self, tmp_path, short_batches, damage, words, monkeypatch):
        self.write_batches(tmp_path / "cifar-10-batches-py", monkeypatch)
        path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
        path.write_bytes(damage(path.read_bytes()))
        known = published.CIFAR10_BATCHES | {"data_batch_2": md5(path.read_bytes()).hexdigest()}
        monkeypatch.setattr(published, "CIFAR10_BATCHES", known)
        with pytest.raises(DataError, match=rf"CIFAR-10: data_batch_2 is cut or damaged .*{words}"):
            image_files("CIFAR10", tmp_path).read()

    def test_a_pipe_in_the_place_of_a_shard_is_named(self, draw_images, tmp_path, small):
        self.write_shards(tmp_path, draw_images(8, 32, 32, 3))
        (tmp_path / "train_01.npz").unlink()
        os.mkfifo(tmp_path / "train_01.npz")
        with pytest.raises(DataError, match=r"train_01\.npz is cut or damaged .*a pipe or a device"):
            image_files("CIFAR10", tmp_path).read()

    def picture(self, kind: str, side: int) -> bytes:
        file = BytesIO()
        Image.new("RGB", (side, side)).save(file, kind)
        return file.getvalue()

    @pytest.mark.parametrize(
        ("part", "content", "words"),
        [
            ("jpeg.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, "
                         b"'shape': (1099511627776,), }".ljust(128) + b"\n", "reshape"),
            ("jpeg.npy", np.array([None]), "holds objects"),
            ("jpeg.npy", "EPS", "cannot identify image"),
            ("jpeg.npy", "JPEG", "an image of 40 x 40 pixels"),
            ("size.npy", np.array(["a", "b"]), ""),
            ("size.npy", np.array([[1, 2], [3, 4]]), ""),
            ("label.npy", np.array([1, 2, 3]), "2 images with labels of shape"),
        ],
    )  # fmt: skip
    def test_a_hostile_shard_is_named(self, draw_images, tmp_path, small, part, content, words):
        self.write_shards(tmp_path, draw_images(8, 32, 32, 3))
        path = tmp_path / "train_01.npz"
        with np.load(path) as shard:
            arrays = {f"{name}.npy": shard[name] for name in shard.files}
        if isinstance(content, str):
            pictures = [self.picture(content, 40)] * 2
            arrays["size.npy"] = np.array([len(picture) for picture in pictures])
            content = np.frombuffer(b"".join(pictures), np.uint8)
        arrays[part] = content
        with ZipFile(path, "w") as archive:
            for name, array in arrays.items():
                file = BytesIO()
                file.write(array) if isinstance(array, bytes) else np.save(file, array)
                archive.writestr(name, file.getvalue())
        with pytest.raises(DataError, match=rf"train_01\.npz is cut or damaged .*{words}"):
            image_files("CIFAR10", tmp_path).read()

    def test_a_cut_archive_is_named(self, tmp_path):
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(bytes(5000))[:-10])
        with pytest.raises(DataError, match="CIFAR-10: data_batch_1 is cut or damaged"):
            image_files("CIFAR10", tmp_path).read()


@pytest.mark.data
def test_the_real_images(mnist_root):
    pixels, labels = MnistFiles(mnist_root).read()
    assert pixels.shape == (70000, 28, 28)
    assert np.bincount(labels).tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
