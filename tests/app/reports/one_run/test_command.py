from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.runs.run_folder import Run

Refused = Callable[..., str]


def test_a_page_has_the_pictures_and_tables_of_a_run_and_fetches_nothing(dq_run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "run.html"
    assert main(["report", "--run", str(dq_run.directory), "--format", "html", "--output", str(page)]) == 0
    text = page.read_text()
    for name in ("learning-curves", "ranges", "clipped", "confusion", "error-by-in-degree"):
        assert f'<figure id="{name}"><svg' in text
    places = [text.index(part) for part in ("<h2>The run", "learning-curves", "<h2>Confusion matrix, test")]
    assert places == sorted(places)
    assert not {part for part in ("src=", "<link", "<script", "@import") if part in text}


def test_tables_of_a_run_that_is_not_exported_say_so(
    train: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("synthetic/gcn/qat_int8", tmp_path, "--export", "false", epochs=1)
    capsys.readouterr()
    assert main(["report", "--run", str(run.directory), "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    assert "| synthetic/gcn/qat_int8 | 1 | export is false |" in out
    assert "**Ranges, and what they clip**" in out
    assert "integer program |" not in out


@pytest.mark.parametrize(
    "words", [("table2",), ("--format", "csv"), ("--from", "x.jsonl"), ("--runs-root", "r"), ("--plots", "p")]
)
def test_a_report_of_one_run_takes_nothing_of_reports_of_many(refused: Refused, words: tuple[str, ...]) -> None:
    told = refused("report", *words, "--run", "somewhere")
    assert told == "--run is one run: give it with --format table, markdown or html and --output alone"


def test_a_folder_that_is_no_finished_run_is_one_line(refused: Refused, tmp_path: Path) -> None:
    assert refused("report", "--run", tmp_path).startswith(f"{tmp_path}: no finished run here")
