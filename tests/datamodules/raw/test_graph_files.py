from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from datamodules import DataError
from datamodules.raw import graph_files
from datamodules.raw.graph_files import read_graph


class Dangerous:
    """Its pickle makes a folder when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


PARTS = {"x": np.arange(6.0).reshape(3, 2), "edge_index": np.array([[0, 1], [1, 2]]), "y": np.array([0, 1, 1])}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_become_tensors(tmp_path, save):
    save(tmp_path / "mine.npz", **PARTS, big=np.arange(3, dtype=">i4"), words=np.array(["a", "b"]), mask=[True, False])
    graph = read_graph("mine", tmp_path)
    assert {part: graph[part].tolist() for part in PARTS} == {part: array.tolist() for part, array in PARTS.items()}
    assert graph.big.tolist() == [0, 1, 2]
    assert graph.mask.dtype == torch.bool
    assert graph.words.tolist() == ["a", "b"]


@pytest.mark.parametrize("kind", [dict, Data.from_dict])
def test_tensors_and_a_graph_of_pyg_are_read(tmp_path, kind):
    torch.save(kind({part: torch.from_numpy(array) for part, array in PARTS.items()}), tmp_path / "mine.pt")
    assert read_graph("mine", tmp_path).x.tolist() == PARTS["x"].tolist()


def test_a_file_that_is_not_there_is_named_and_so_are_two(tmp_path):
    with pytest.raises(DataError, match=r"mine: .*mine\.npz and .*mine\.pt are not there: put one there, or give data"):
        read_graph("mine", tmp_path)
    for ending in ("npz", "pt"):
        (tmp_path / f"mine.{ending}").touch()
    with pytest.raises(DataError, match="are both there: keep one"):
        read_graph("mine", tmp_path)


def huge() -> bytes:
    """An array of a million million numbers, by its header, in a few bytes."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return packed(file.getvalue())


def packed(content: bytes) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


def arrays(**parts: object) -> bytes:
    file = BytesIO()
    np.savez(file, **parts)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "."),
        (b"abc", "."),
        (arrays(**PARTS)[:200], "."),
        (huge(), "."),
        (packed(b""), "."),
        (arrays(x=np.array([{}])), "holds objects"),
        (arrays(x=np.array(["2020-01-01"], dtype="datetime64[D]")), "expected numbers"),
        (arrays(x=np.zeros(2, dtype=[("a", "f4")])), "expected numbers"),
    ],
)
def test_damaged_and_hostile_arrays_are_one_sentence(tmp_path, content, reason):
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(DataError, match=rf"^mine: .*mine\.npz cannot be read \(.*{reason}.*\): save it again$"):
        read_graph("mine", tmp_path)


def test_an_archive_that_unpacks_to_more_than_a_graph_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_files, "LARGEST_PACKED", 100)
    np.savez_compressed(tmp_path / "mine.npz", x=np.zeros(10_000))
    with pytest.raises(DataError, match="more than 100 bytes unpacked"):
        read_graph("mine", tmp_path)


@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_a_pickle_in_the_place_of_a_graph_runs_nothing(tmp_path, ending):
    value = Dangerous(tmp_path / "executed")
    if ending == "npz":
        np.savez(tmp_path / "mine.npz", x=np.array([value], dtype=object))
    else:
        torch.save({"x": value}, tmp_path / "mine.pt")
    with pytest.raises(DataError, match="cannot be read"):
        read_graph("mine", tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_a_pipe_is_not_waited_for(tmp_path, ending):
    os.mkfifo(tmp_path / f"mine.{ending}")
    with pytest.raises(DataError, match="cannot be read"):
        read_graph("mine", tmp_path)


def test_a_list_is_no_graph(tmp_path):
    torch.save([1, 2], tmp_path / "mine.pt")
    with pytest.raises(DataError, match="it holds a list, expected a dictionary of tensors or a Data"):
        read_graph("mine", tmp_path)


def test_a_name_may_have_its_ending(tmp_path):
    np.savez(tmp_path / "mine.npz", **PARTS)
    assert read_graph("mine.npz", tmp_path).x.tolist() == PARTS["x"].tolist()
    with pytest.raises(DataError, match=r"^mine: there is no .*mine\.pt, but .*mine\.npz: name that$"):
        read_graph("mine.pt", tmp_path)
    with pytest.raises(DataError, match=r"^other: .*other\.npz and .*other\.pt are not there"):
        read_graph("other.npz", tmp_path)
    torch.save({"x": torch.zeros(2, 1)}, tmp_path / "mine.pt")
    assert read_graph("mine.pt", tmp_path).x.tolist() == [[0.0], [0.0]]
