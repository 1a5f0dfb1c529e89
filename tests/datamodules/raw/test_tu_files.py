from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from datamodules import DataError
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
    assert "TOY_A.txt is empty: get https" in refusal(toy(write_tu(A="")).numbers, "A")


def test_a_missing_required_file_is_named(write_tu, refusal):
    root = write_tu("A")
    sentence = refusal(toy(root).text, "graph_indicator")
    assert f"TOY_graph_indicator.txt is missing in {root / 'TOY'}: get https" in sentence


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
