from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.main import main

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("name", ["RESULTS.md", "results/table3.md", "results/table8.md", "results/digits.md"])
def test_documents_hold_what_the_kept_results_give(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.md"
    copy.write_text((DOCS / name).read_text())
    assert main(["report", "--from", str(DOCS / "results.jsonl"), "--document", str(copy)]) == 0
    assert copy.read_text() == (DOCS / name).read_text()
