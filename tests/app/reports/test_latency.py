from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import UserError
from app.reports.latency import latency_table, latency_table_title, read_latency


@pytest.fixture
def latency(tmp_path: Path) -> Path:
    ratios = ({"PyG eager": 1.0}, {"PyG eager": 4.0}, {"PyG eager": None})
    rows = [
        {"name": name, "threads": 1, "fastest": ms, "ratios": ratio}
        for name, ms, ratio in zip(("PyG eager", "INT8", "INT4"), (8.0, 2.0, 1.5), ratios, strict=True)
    ]
    path = tmp_path / "latency.json"
    figures = {"results": [{"workload": "zinc", "network": "gin", "rows": rows}], "processor": "a <processor>"}
    path.write_text(json.dumps(figures))
    return path


def test_a_table_has_a_row_per_candidate(latency: Path) -> None:
    measured = read_latency(latency)
    assert latency_table(measured)[1:] == [
        ["zinc", "gin", "PyG eager", "1", "8.00", "1.00"],
        ["zinc", "gin", "INT8", "1", "2.00", "4.00"],
        ["zinc", "gin", "INT4", "1", "1.50", ""],
    ]
    assert latency_table_title(measured) == ("Latency of one forward, two layers of width 128, on a <processor>")


@pytest.mark.parametrize("text", ["{}", "no json", '{"results": [{}]}'])
def test_another_file_is_refused(latency: Path, text: str) -> None:
    latency.write_text(text)
    with pytest.raises(UserError, match=r"not figures of `train.py benchmark latency"):
        read_latency(latency)
