"""Files are written whole or not at all."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from app.engine import files
from app.engine.files import unfinished, write_atomically


def interrupt(source, target):
    raise KeyboardInterrupt


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.parametrize("durable", [False, True])
def test_text_and_bytes_are_written_to_new_folders(tmp_path, durable):
    write_atomically(tmp_path / "new" / "text", "µ", durable=durable)
    write_atomically(tmp_path / "new" / "bytes", b"\x00", durable=durable)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {
        "text": b"\xc2\xb5",
        "bytes": b"\0",
    }


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_atomically(path, b"new")
    assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o640, b"new")
    path.chmod(0o604)
    write_atomically(path, b"newer")
    assert path.stat().st_mode & 0o777 == 0o604


def test_what_is_no_file_is_not_replaced(tmp_path):
    """Else `--output /dev/null` of a user who may do that would leave a file there."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="Is a directory"):
        write_atomically(Path(), "new")
    with pytest.raises(FileExistsError, match="Is not a regular file"):
        write_atomically(tmp_path / "pipe", "new")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, there):
    """Else `--output /dev/stdout` of a user who may do that, with output sent to a file, would take that name away."""
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    if there:
        write_atomically(real, "old")
    link.symlink_to(Path("folder") / "real")
    write_atomically(link, "new")
    assert os.readlink(link) == str(Path("folder") / "real")
    assert real.read_text() == "new"
    assert [*(tmp_path / "folder").iterdir()] == [real]


def test_what_a_killed_write_left_is_found(tmp_path, monkeypatch):
    """A process that is killed cannot remove its temporary file."""
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", interrupt)
        patch.setattr(Path, "unlink", lambda path, missing_ok: None)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "a.json", b"new")
    write_atomically(tmp_path / "b.json", b"whole")
    (left,) = unfinished(tmp_path, "a.json")
    assert left.read_bytes() == b"new"
    assert list(unfinished(tmp_path, "*.json")) == [left]
    assert list(unfinished(tmp_path, "b.json")) == []


def test_a_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(source: Path, target: Path) -> None:
        assert Path(source).read_text() == "new", "the whole content is there before the file is replaced"
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_names_the_file(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))  # as a full disk, whose error names nothing
    try:
        with pytest.raises(OSError, match="large") as caught:
            write_atomically(tmp_path / "file", "more than ten bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(tmp_path / "file")
