from __future__ import annotations

import gzip
import hashlib
import os
import tracemalloc
from dataclasses import replace
from http.client import IncompleteRead
from urllib.error import URLError

import pytest

from datamodules import DataError
from datamodules.raw import raw_files
from datamodules.raw.raw_files import RawFile

CONTENT = b"published content"


@pytest.fixture
def raw_file() -> RawFile:
    return RawFile("Set", "set.bin", "https://host.invalid/set.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def assert_one_clear_sentence(error: Exception, file: RawFile, folder, problem: str) -> None:
    sentence = str(error)
    for part in (file.dataset, file.name, problem, file.url, str(folder)):
        assert part in sentence
    assert "\n" not in sentence


def test_an_intact_file_is_read(raw_file, tmp_path):
    (tmp_path / raw_file.name).write_bytes(CONTENT)
    assert raw_file.read(tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is cut (0 of 17 bytes)"),
        (CONTENT[:-1], "is cut (16 of 17 bytes)"),
        (CONTENT[:-1] + b"!", "is not the published file"),
        (CONTENT + b"!", "is not the published file"),
    ],
)
def test_a_damaged_file_is_refused(raw_file, tmp_path, content, problem):
    (tmp_path / raw_file.name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        raw_file.read(tmp_path)
    assert_one_clear_sentence(caught.value, raw_file, tmp_path, problem)


def test_a_missing_file_is_named(raw_file, tmp_path):
    with pytest.raises(DataError) as caught:
        raw_file.read(tmp_path / "nowhere")
    assert_one_clear_sentence(caught.value, raw_file, tmp_path / "nowhere", "is missing")


def test_a_folder_in_the_place_of_the_file_is_named(raw_file, tmp_path):
    (tmp_path / raw_file.name).mkdir()
    with pytest.raises(DataError) as caught:
        raw_file.read(tmp_path)
    assert_one_clear_sentence(caught.value, raw_file, tmp_path, "cannot be read")


def test_a_download_lands_whole_and_leaves_nothing_beside_it(raw_file, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_files, "fetch", {raw_file.url: CONTENT}.__getitem__)
    folder = tmp_path / "new" / "raw"
    raw_file.download(folder)
    assert raw_file.read(folder) == CONTENT
    assert [path.name for path in folder.iterdir()] == [raw_file.name]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError("no route to host"), "no route to host"),
        (TimeoutError("timed out"), "timed out"),
        (IncompleteRead(b"pub"), "IncompleteRead(3 bytes read"),
    ],
)
def test_a_failed_download_says_where_the_file_belongs(raw_file, tmp_path, monkeypatch, error, reason):
    def unreachable(url: str) -> bytes:
        raise error

    monkeypatch.setattr(raw_files, "fetch", unreachable)
    with pytest.raises(DataError) as caught:
        raw_file.download(tmp_path)
    assert_one_clear_sentence(caught.value, raw_file, tmp_path, f"download failed ({reason}")
    assert list(tmp_path.iterdir()) == []


def test_an_altered_download_is_not_kept(raw_file, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_files, "fetch", lambda url: CONTENT.upper())
    with pytest.raises(DataError, match="is not the published file"):
        raw_file.download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(raw_file, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_files, "fetch", lambda url: CONTENT)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        raw_file.download(tmp_path / "file")
    assert_one_clear_sentence(caught.value, raw_file, tmp_path / "file", "cannot be written")


@pytest.mark.parametrize("level", [1, 9])
def test_a_gzipped_file_is_known_by_what_is_in_it(raw_file, tmp_path, level):
    packed = replace(raw_file, gzipped=True)
    (tmp_path / raw_file.name).write_bytes(gzip.compress(CONTENT, level))
    assert packed.read(tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gzip.compress(CONTENT)[:-9], "is cut or damaged"),
        (CONTENT, "is cut or damaged"),
        (gzip.compress(CONTENT[:-1]), "is cut (16 of 17 bytes)"),
        (gzip.compress(CONTENT + b"!"), "is not the published file"),
    ],
    ids=["cut archive", "no archive", "cut content", "longer content"],
)
def test_a_damaged_gzipped_file_is_refused(raw_file, tmp_path, content, problem):
    packed = replace(raw_file, gzipped=True)
    (tmp_path / raw_file.name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        packed.read(tmp_path)
    assert_one_clear_sentence(caught.value, packed, tmp_path, problem)


def test_a_gzipped_download_is_kept_as_it_comes(raw_file, tmp_path, monkeypatch):
    packed = replace(raw_file, gzipped=True)
    monkeypatch.setattr(raw_files, "fetch", lambda url: gzip.compress(CONTENT))
    packed.download(tmp_path)
    assert packed.read(tmp_path) == CONTENT


def test_a_pipe_in_the_place_of_the_file_is_named(raw_file, tmp_path):
    os.mkfifo(tmp_path / raw_file.name)
    with pytest.raises(DataError) as caught:
        raw_file.read(tmp_path)
    assert_one_clear_sentence(caught.value, raw_file, tmp_path, "cannot be read (it is a pipe or a device")


def test_a_file_that_unpacks_to_far_more_is_refused_before_it_does(raw_file, tmp_path):
    packed = replace(raw_file, gzipped=True)
    (tmp_path / raw_file.name).write_bytes(gzip.compress(bytes(1 << 26)))
    tracemalloc.start()
    with pytest.raises(DataError, match="is not the published file"):
        packed.read(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_a_far_larger_file_is_not_read(raw_file, tmp_path):
    with (tmp_path / raw_file.name).open("wb") as file:
        file.truncate(1 << 33)  # of holes
    with pytest.raises(DataError, match=r"cannot be read \(it has 8,589,934,592 bytes"):
        raw_file.read(tmp_path)
