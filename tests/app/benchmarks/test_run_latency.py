from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.cli.main import main
from app.runs.run_folder import Run


def test_benchmark_json_has_the_figures_of_peer_and_programs(
    dq_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "figures.json"
    assert main(["benchmark", "--run", str(dq_run.directory), "--repeats", "3", "--output", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["run"] == str(dq_run.directory)
    assert figures["processor"]
    assert figures["versions"]["torch"] == torch.__version__
    rows = {row["name"]: row for row in figures["rows"]}
    assert list(rows) == ["PyG FP32", "INT8", "INT8 sparse", "INT4", "INT4 sparse"]
    for row in rows.values():
        assert 0 < row["lower"] <= row["median"] <= row["upper"]
        assert row["ratio"] == pytest.approx(rows["PyG FP32"]["median"] / row["median"])
    assert rows["INT8"]["agreement"] == 1.0
    assert (rows["INT8"]["ranges"], rows["INT4"]["ranges"]) == ("trained", "calibrated")
    assert rows["PyG FP32"]["bytes"] == 4 * (120 * 16 + 16 + 16 * 7 + 7)
    assert rows["INT4"]["bytes"] < rows["INT8"]["bytes"] < rows["PyG FP32"]["bytes"] / 3
    assert str(path) in capsys.readouterr().out


def test_a_folder_is_no_output_of_figures(refused: Callable[..., str], dq_run: Run, tmp_path: Path) -> None:
    assert "is a folder" in refused("benchmark", "--run", dq_run.directory, "--output", tmp_path)
