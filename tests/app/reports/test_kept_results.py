from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.engine.files import write_atomically
from app.runs.run_folder import Run

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("name", ["RESULTS.md", "results/table3.md", "results/table8.md", "results/digits.md"])
def test_documents_hold_what_the_kept_results_give(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.md"
    copy.write_text((DOCS / name).read_text())
    assert main(["report", "--from", str(DOCS / "results.jsonl"), "--document", str(copy)]) == 0
    assert copy.read_text() == (DOCS / name).read_text()


def test_kept_results_that_do_not_tell_their_settings_count_beside_runs(
    tmp_path: Path, make_result: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    grid, kept, cell = tmp_path / "mine.yaml", tmp_path / "kept.jsonl", "cora/gcn/best_int4"
    grid.write_text(f"seeds: 0-1\nentries: [{{cells: {cell}}}]")
    kept.write_text(json.dumps(make_result(cell, 0, 0.4)) + "\n")
    run = Run.of(tmp_path / "runs", cell, 1)
    write_atomically(run.config, json.dumps({"model": {"architecture": {"roundings": "needed"}}}))
    write_atomically(run.result, json.dumps(make_result(cell, 1, 0.6)))
    words = ["report", str(grid), "--from", str(kept), "--runs-root", str(tmp_path / "runs"), "--format", "markdown"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "| cora/gcn | accuracy % | 50.0 +- 14.1 (2) |" in out
    assert "left out" not in err
