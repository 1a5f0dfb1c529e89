from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.reports.records import runs
from app.runs.run_folder import Run

Refused = Callable[..., str]


def test_a_run_is_a_row_with_what_it_is_and_measured(trained_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    assert main(["report", "--runs-root", str(trained_root), "--format", "csv", "--output", str(path)]) == 0
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["run"] for row in rows] == ["synthetic/gcn/dq_int8/seed=3", "synthetic/gcn/fp32/seed=0"]
    for row in rows:
        result = Run(trained_root / row["run"]).read_result()
        known = (row["cell"], int(row["seed"]), int(row["chosen_epoch"]))
        assert known == (result["cell"], result["seed"], result["chosen_epoch"])
        assert row["cell"] == f"{row['dataset']}/{row['architecture']}/{row['scheme']}"
        assert {name: float(row[name]) for name in result["metrics"]} == result["metrics"]
        for name, count in (result["exactness"] or {}).items():
            assert int(row[f"exactness.{name}"]) == count
    assert [row["exactness.codes"] == "" for row in rows] == [False, True]


def test_a_row_has_the_settings_of_its_run(trained_root: Path) -> None:
    dq, fp32 = runs(trained_root)
    settings = Run(trained_root / dq["run"]).read_config()
    assert dq["model.lr"] == settings["model"]["init_args"]["lr"]
    assert dq["model.scheme.observer.statistic"] == settings["model"]["init_args"]["scheme"]["observer"]["statistic"]
    assert dq["data.num_nodes"] == 300
    assert (dq["bits"], fp32["bits"]) == (8, 32)
    assert not {name for name in dq if "init_args" in name}


def test_a_run_that_is_not_exported_has_its_row_and_says_why(train: Callable[..., Run], tmp_path: Path) -> None:
    for root, word in (("a", "true"), ("b", "false")):
        train("synthetic/gcn/dq_int8", tmp_path / root, "--export", word, epochs=1)
    exported, other = sorted(runs(tmp_path), key=lambda run: not run["export"])
    assert (exported["no_program"], other["no_program"]) == (None, "export is false")
    assert {name: exported[name] for name in exported if "/" in name} == {n: other[n] for n in other if "/" in n}
    assert (exported["export"], other["export"]) == (True, False)


def test_a_table_by_name_has_the_runs_of_its_cells(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text("entries: [{cells: cora/gcn/fp32}]")
    assert main(["report", str(grid), "--runs-root", str(root), "--format", "csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["cell"] == "cora/gcn/fp32"


def test_a_figure_is_no_part_of_the_table_of_runs(trained_root: Path, tmp_path: Path, refused: Refused) -> None:
    figure, grid = tmp_path / "figure.yaml", tmp_path / "mine.yaml"
    figure.write_text("figure: in_degree\nentries: [{cells: synthetic/gcn/fp32}]")
    grid.write_text("entries: [{cells: synthetic/gcn/fp32}]")
    told = refused("report", grid, figure, "--runs-root", trained_root, "--format", "csv")
    assert told == "--format csv is one table, and figure has one of its own: give it alone or another --format"


def test_a_summary_keeps_neither_folders_nor_settings(trained_root: Path, tmp_path: Path) -> None:
    lines = tmp_path / "kept.jsonl"
    words = ["report", "--runs-root", str(trained_root), "--output", str(tmp_path / "x")]
    assert main([*words, "--summary", str(lines)]) == 0
    assert not {"folder", "settings"} & set(lines.read_text().replace('"', " ").split())
