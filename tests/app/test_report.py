from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import main
from app.report import collect, markdown, mean_and_deviation
from app.runs import Run, write_atomically

EXACT = {
    "codes": 1000,
    "codes_differing": 2,
    "largest_difference": 1,
    "predictions": 10,
    "predictions_differing": 1,
    "margin_violations": 0,
}


def write(root: Path, cell: str, seed: int, accuracy: float, exactness: dict | None = None) -> None:
    result = {"cell": cell, "seed": seed, "metrics": {"test/accuracy": accuracy}, "epoch": 3, "exactness": exactness}
    write_atomically(Run(root / cell / f"seed={seed}").result, json.dumps(result))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """0.80, 0.82, 0.87 have mean 0.83 and squared deviations 9 + 1 + 16 = 26: sqrt(26 / 2) = 3.6 %."""
    for seed, accuracy in enumerate((0.80, 0.82, 0.87)):
        write(tmp_path, "cora/gcn/dq_int8", seed, accuracy, {**EXACT, "largest_difference": seed})
    write(tmp_path, "cora/gcn/fp32", 0, 0.815)
    write(tmp_path, "citeseer/gin/fp32", 0, 0.7)
    return tmp_path


def test_mean_and_sample_deviation_over_seeds() -> None:
    assert mean_and_deviation([0.80, 0.82, 0.87]) == "83.0 +- 3.6 (3)"
    assert mean_and_deviation([0.815]) == "81.5 (1)"
    assert mean_and_deviation([1.0, 3.0], scale=1.0) == "2.0 +- 1.4 (2)"


def test_results_are_collected_by_row_and_scheme(root: Path) -> None:
    table = collect(root)
    assert {row: {s: len(r) for s, r in cells.items()} for row, cells in table.items()} == {
        "cora/gcn": {"dq_int8": 3, "fp32": 1},
        "citeseer/gin": {"fp32": 1},
    }


def test_the_tables_are_computed_from_the_result_files(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["report", "--runs-root", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if "dataset/architecture" in line)
    assert header.index("fp32") < header.index("dq_int8")
    row = next(line for line in lines if line.startswith("│ cora/gcn "))
    assert row.index("81.5 (1)") < row.index("83.0 +- 3.6 (3)")
    assert "70.0 (1)" in next(line for line in lines if line.startswith("│ citeseer/gin "))
    exact = next(line for line in lines if line.startswith("│ cora/gcn/dq_int8"))
    # 3 runs of 1,000 codes, 2 each differing by at most 2; 10 predictions, 1 each differing
    assert [cell.strip() for cell in exact.strip("│").split("│")][1:] == ["3", "3,000", "6", "2", "30", "3", "0"]
    assert not any(line.startswith("│ cora/gcn/fp32") for line in lines)


def test_markdown_is_a_table_with_as_many_cells_in_every_line():
    text = markdown("title", [["cell", "a", "b"], ["x", "1", "2"], ["y", "3", "4"]])
    title, empty, *lines = text.strip().splitlines()
    assert title == "**title**"
    assert empty == ""
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {4}
    assert set(lines[1]) == {"|", "-"}
