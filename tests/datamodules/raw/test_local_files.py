from __future__ import annotations

import os
from io import BytesIO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import pytest
import torch

from app.engine.files import going_to_write
from datamodules.errors import DataError
from datamodules.raw.graph_files import read_graph
from datamodules.raw.images.array_files import _read_idx, npz_images
from datamodules.raw.local_files import load_tensors, mapped_rows, read_file, read_packed
from datamodules.raw.tu_files import TextFiles
from tests.datamodules.raw.hostile import Dangerous, saved


class TestReadFile:
    def test_a_file_is_read(self, tmp_path):
        (tmp_path / "file").write_bytes(b"content")
        assert read_file(tmp_path / "file", limit=7) == b"content"

    def test_a_longer_one_is_not(self, tmp_path):
        (tmp_path / "file").write_bytes(b"content")
        with pytest.raises(OSError, match="it has 7 bytes, more than 6"):
            read_file(tmp_path / "file", limit=6)

    def test_a_pipe_is_refused_instead_of_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="a pipe or a device"):
            read_file(tmp_path / "pipe")

    def test_a_device_that_never_ends_is_refused(self, tmp_path):
        (tmp_path / "link").symlink_to("/dev/zero")
        with pytest.raises(OSError, match="a pipe or a device"):
            read_file(tmp_path / "link")

    def test_a_folder_is_refused(self, tmp_path):
        with pytest.raises(IsADirectoryError):
            read_file(tmp_path)

    def test_a_missing_one_is_missed(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_file(tmp_path / "nowhere")


class TestReadPacked:
    @pytest.fixture
    def bomb(self) -> ZipFile:
        content = BytesIO()
        with ZipFile(content, "w", ZIP_DEFLATED) as archive:
            archive.writestr("zeros", bytes(1 << 20))
        assert len(content.getvalue()) < 2000
        return ZipFile(content)

    def test_up_to_the_limit_it_is_read(self, bomb):
        assert read_packed(bomb, "zeros", 1 << 20) == bytes(1 << 20)

    def test_beyond_it_nothing_is_unpacked(self, bomb):
        with pytest.raises(BadZipFile, match="zeros has 1,048,576 bytes unpacked, more than 1,048,575"):
            read_packed(bomb, "zeros", (1 << 20) - 1)

    def test_a_file_that_says_less_than_it_holds_is_damaged(self, bomb):
        bomb.getinfo("zeros").file_size = 10
        with pytest.raises(BadZipFile):
            read_packed(bomb, "zeros", 100)

    def test_an_encrypted_one_is_refused(self, bomb):
        bomb.getinfo("zeros").flag_bits |= 1
        with pytest.raises(BadZipFile, match="encrypted"):
            read_packed(bomb, "zeros")


class TestLoadTensors:
    def test_tensors_are_loaded(self):
        assert load_tensors(saved([{"x": torch.arange(3)}]))[0]["x"].tolist() == [0, 1, 2]

    def test_code_is_named_and_does_not_run(self, tmp_path):
        with pytest.raises(ValueError, match=r"it names \w+\.mkdir, which no tensor needs"):
            load_tensors(saved(Dangerous(tmp_path / "executed")))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("content", [b"", b"abc", b"\x80\x02.", b"\x80\x04K\x01.", saved([1])[:-30], bytes(1000)])
    def test_damage_is_a_sentence(self, content):
        with pytest.raises(ValueError, match=r"\w") as caught:
            load_tensors(content)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("g.npz", lambda path: read_graph("g", path.parent)),
        ("g.x.npy", mapped_rows),
        ("g.zip", lambda path: TextFiles("g", path.parent).text("A")),
        ("g.npz", lambda path: npz_images("g", path)),
        ("g-idx3-ubyte", lambda path: _read_idx("g", path)),
    ],
)
def test_a_file_that_the_command_writes_is_not_read(tmp_path, name, read):
    path = tmp_path / name
    path.write_bytes(b"data")
    with going_to_write([("--output", str(path))]), pytest.raises(DataError, match=f"^--output {path}: is data that"):
        read(path)
    with pytest.raises(ValueError, match=r"^(?!--output)"):  # another command may, but this file is none
        read(path)
