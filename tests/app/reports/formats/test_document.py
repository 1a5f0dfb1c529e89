from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import UserError
from app.reports.formats.document import read_document, with_new_tables

MARK = "<!-- report table -->"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return tmp_path / "results.md"


def names(words: list[str]) -> str:
    return f"of {words}"


def test_tables_stand_between_marks_and_the_rest_stays(document: Path) -> None:
    document.write_text("Before\n<!-- report a b -->\n<!-- end -->\nand\n<!-- report -->\nold\n\n<!-- end -->\nafter\n")
    text = with_new_tables(read_document(document), names)
    assert text == (
        "Before\n<!-- report a b -->\nof ['a', 'b']\n<!-- end -->\nand\n<!-- report -->\nof []\n<!-- end -->\nafter\n"
    )
    document.write_text(text)
    assert with_new_tables(read_document(document), names) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{MARK}\ntext\n{MARK}\n<!-- end -->\n", "2 lines begin `<!-- report`, but 1 of them"),
        ("text", "says where a table belongs"),
    ],
)
def test_a_document_without_whole_marks_is_refused(document: Path, text: str, told: str) -> None:
    document.write_text(text)
    with pytest.raises(UserError, match=told):
        read_document(document)
    assert document.read_text() == text


def test_a_document_that_is_no_text_is_refused(document: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_document(document)
    document.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not text"):
        read_document(document)
