from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from datamodules import DataError
from datamodules.raw import tu_files
from datamodules.raw.tu_files import TextFiles

PARTS = ("A", "graph_indicator", "graph_labels")
METHODS = (zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED)


def toy(root: Path) -> TextFiles:
    return TextFiles("TOY", root)


def packed(root: Path, method: int) -> Path:
    """Puts the files of a root into `TOY.zip` in another root, and returns the path of the zip."""
    path = root / "packed" / "TOY.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted((root / "TOY").iterdir()):
            archive.write(file, f"TOY/{file.name}")
    return path


@pytest.fixture
def refusal():
    """refusal(read, ...) -> the one sentence of the DataError that the call raises."""

    def call(read, *arguments, **options) -> str:
        with pytest.raises(DataError) as caught:
            read(*arguments, **options)
        sentence = str(caught.value)
        assert sentence.startswith("TOY: ")
        assert "\n" not in sentence
        return sentence

    return call


def test_files_are_read_from_their_folder(write_tu, tu_files):
    files = toy(write_tu(*PARTS))
    assert all(files.text(part) == tu_files[part] for part in PARTS)
    assert files.text("node_labels") is None


def test_files_are_read_from_pygs_folder(write_tu, tu_files):
    root = write_tu(*PARTS)
    (root / "raw").mkdir()
    for file in (root / "TOY").iterdir():
        file.rename(root / "raw" / file.name)
    (root / "raw").rename(root / "TOY" / "raw")
    assert toy(root).text("A") == tu_files["A"]


@pytest.mark.parametrize("method", METHODS)
def test_files_are_read_from_a_zip_in_any_compression(write_tu, tu_files, method):
    files = toy(packed(write_tu(*PARTS), method).parent)
    assert all(files.text(part) == tu_files[part] for part in PARTS)
    assert files.text("node_labels") is None


def test_numbers_are_those_of_the_lines(write_tu):
    files = toy(write_tu("A", node_labels="3\n-1\n", node_attributes="1.5, 2\n-0.25,1e3\n"))
    assert files.numbers("node_labels").tolist() == [[3], [-1]]
    attributes = files.numbers("node_attributes", kind=np.float32)
    assert (attributes.tolist(), attributes.dtype) == ([[1.5, 2.0], [-0.25, 1000.0]], np.float32)
    assert files.numbers("graph_labels") is None


def test_the_width_is_that_of_the_first_line(write_tu):
    files = toy(write_tu("A", node_attributes="1.5, 2, 3\n"))
    assert files.width("node_attributes") == 3
    assert files.width("graph_attributes") == 0


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        ("1, 2\n1, x\n", 2, "TOY_A.txt line 2: expected 2 whole numbers, got '1, x'"),
        ("1, 2\n1\n", 2, "TOY_A.txt line 2: expected 2 whole numbers, got '1'"),
        ("1, 2\n1\n", None, "TOY_A.txt line 2: expected 2 whole numbers, got '1'"),
        ("1, 2\n\n2, 1\n", 2, "TOY_A.txt line 2: expected 2 whole numbers, got ''"),
        ("1\none\n", 1, "TOY_A.txt line 2: expected 1 whole number, got 'one'"),
        ("1\n1.5\n", 1, "TOY_A.txt line 2: expected 1 whole number, got '1.5'"),
    ],
)
def test_a_line_of_other_numbers_is_named(write_tu, refusal, content, columns, words):
    sentence = refusal(toy(write_tu(A=content)).numbers, "A", columns=columns)
    assert words in sentence
    assert "correct it" in sentence


def test_an_empty_file_is_named(write_tu, refusal):
    root = write_tu("A", graph_indicator="")
    assert "TOY_graph_indicator.txt is empty: make or get it again (a published one: https" in refusal(
        toy(root).numbers, "graph_indicator"
    )


def test_without_edges_there_are_none(write_tu):
    assert toy(write_tu(A="\n")).numbers("A", columns=2).shape == (0, 2)


@pytest.mark.parametrize(("content", "line"), [("0\n1_0\n", 2), ("0\n1\n99999999999999999999\n", 3), ("1e3\n", 1)])
def test_what_only_python_takes_for_a_whole_number_is_named(write_tu, refusal, content, line):
    assert f"TOY_A.txt line {line}: expected 1 whole number" in refusal(
        toy(write_tu(A=content)).numbers, "A", columns=1
    )


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e300"])
def test_numbers_that_are_not_finite_are_named(write_tu, refusal, word):
    files = toy(write_tu("A", node_attributes=f"1.5, 2\n2, {word}\n{word}, 3\n"))
    sentence = refusal(files.numbers, "node_attributes", kind=np.float32)
    assert f"TOY_node_attributes.txt line 2: expected finite numbers in float32, got '2, {word}'" in sentence


@pytest.mark.parametrize(("content", "labels"), [("1\n-1\n", [1, -1]), ("red\nnot red\n", ["red", "not red"])])
def test_labels_are_numbers_or_words(write_tu, content, labels):
    assert toy(write_tu("A", graph_labels=content)).labels("graph_labels")[:, 0].tolist() == labels


@pytest.mark.parametrize("content", ["1\none\n", "one\n1\n", "a, b\nc, d\n", "0.5\n1\n"])
def test_labels_of_both_kinds_are_refused(write_tu, refusal, content):
    assert "expected 1 whole number" in refusal(toy(write_tu("A", graph_labels=content)).labels, "graph_labels")


@pytest.mark.parametrize("zipped", [False, True])
def test_parts_are_those_that_there_are_files_of(write_tu, zipped):
    root = write_tu(*PARTS, edge_labels="1\n")
    (root / "TOY" / "README.txt").write_text("")
    files = toy(packed(root, zipfile.ZIP_DEFLATED).parent if zipped else root)
    assert files.parts() == ["A", "edge_labels", "graph_indicator", "graph_labels"]


class TestHostileFiles:
    """Each is one sentence, soon, and leaves no trace."""

    def test_a_bomb(self, write_tu, refusal, monkeypatch):
        monkeypatch.setattr(tu_files, "LARGEST_PACKED", 1 << 20)
        path = packed(write_tu("graph_indicator", A="1\n" * (1 << 20)), zipfile.ZIP_DEFLATED)
        assert "TOY_A.txt has 2,097,152 bytes unpacked, more than 1,048,576" in refusal(toy(path.parent).text, "A")

    def test_an_evil_path_is_only_a_name(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "TOY.zip", "w") as archive:
            archive.writestr("../../evil/TOY_A.txt", "1, 2\n")
        before = sorted(tmp_path.parent.rglob("*"))
        assert toy(tmp_path).text("A") == "1, 2\n"
        assert sorted(tmp_path.parent.rglob("*")) == before

    def test_two_files_of_one_name(self, tmp_path, refusal):
        with zipfile.ZipFile(tmp_path / "TOY.zip", "w") as archive:
            archive.writestr("a/TOY_A.txt", "1, 2\n")
            archive.writestr("b/TOY_A.txt", "2, 1\n")
        assert "TOY.zip holds a/TOY_A.txt and b/TOY_A.txt: keep one" in refusal(toy(tmp_path).text, "A")

    def test_an_encrypted_zip(self, write_tu, refusal):
        path = packed(write_tu("A"), zipfile.ZIP_STORED)
        content = bytearray(path.read_bytes())
        content[content.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(content)
        assert "TOY.zip is cut or damaged (TOY/TOY_A.txt is encrypted)" in refusal(toy(path.parent).text, "A")

    def test_a_pipe(self, write_tu, refusal):
        root = write_tu("A")
        os.mkfifo(root / "TOY" / "TOY_node_labels.txt")
        assert "it is a pipe or a device" in refusal(toy(root).text, "node_labels")

    def test_a_folder(self, write_tu, refusal):
        root = write_tu("A")
        (root / "TOY" / "TOY_node_labels.txt").mkdir()
        assert "cannot be read" in refusal(toy(root).text, "node_labels")


def test_a_missing_required_file_is_named(write_tu, refusal):
    root = write_tu("A")
    sentence = refusal(toy(root).text, "graph_indicator")
    assert (
        f"TOY_graph_indicator.txt is missing in {root / 'TOY'}: make or get it again (a published one: https"
        in sentence
    )


def test_missing_data_says_where_it_belongs(tmp_path, refusal):
    sentence = refusal(toy(tmp_path).text, "A")
    for word in ("https://www.chrsmrrs.com/graphkerneldatasets/TOY.zip", str(tmp_path / "TOY"), "TOY_A.txt"):
        assert word in sentence


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_zip_is_named(write_tu, refusal, method, damage):
    path = packed(write_tu(*PARTS), method)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[100] ^= 255
    path.write_bytes(content)
    sentence = refusal(lambda: [toy(path.parent).text(part) for part in PARTS])
    assert "TOY.zip is cut or damaged" in sentence
    assert f"TOY.zip into {path.parent} again" in sentence


def test_a_file_that_is_no_text_is_named(write_tu, refusal):
    root = write_tu(*PARTS)
    (root / "TOY" / "TOY_A.txt").write_bytes(b"\xff\xfe\x00")
    assert "TOY_A.txt is not a text file" in refusal(toy(root).text, "A")
