from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.cli.main import main
from app.config.cells import select
from app.reports.in_degree import aggregation, sum_by_bin
from app.runs.experiment import Experiment


def test_the_distribution_of_in_degrees_needs_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = tmp_path / "figure.yaml"
    grid.write_text("title: In-degrees\nfigure: in_degree\nentries: [{cells: synthetic/gcn/fp32}]")
    assert main(["reproduce", str(grid), "--runs-root", str(tmp_path / "runs")]) == 0
    assert "0 of 0 runs finished" in capsys.readouterr().out
    assert not list(tmp_path.glob("runs/**/*.ckpt"))
    assert main(["report", str(grid), "--runs-root", str(tmp_path / "runs"), "--format", "csv"]) == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["dataset", "in-degree", "nodes", "%"]
    assert sum(int(row[2]) for row in rows) == 2700
    assert sum(float(row[3]) for row in rows) == pytest.approx(100, abs=0.1)


def test_figures_by_in_degree_are_of_the_run(
    trained_root: Path, tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "figure.yaml"
    grid.write_text("title: By degree\nfigure: aggregation\nentries: [{cells: synthetic/gcn/fp32}]")
    words = ["report", str(grid), "--runs-root"]
    assert main([*words, str(trained_root), "--format", "csv"]) == 0
    header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["network", "layer", "in-degree", "nodes", "mean", "variance"]
    layers = {row[1] for row in rows}
    assert len(layers) == 2
    for layer in layers:
        assert sum(int(row[3]) for row in rows if row[1] == layer) == 300
    assert main([*words, str(trained_root), "--format", "html", "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text().count("<svg") == 2  # mean and variance
    (tmp_path / "empty").mkdir()
    assert "no finished run" in refused(*words, tmp_path / "empty")


def test_what_is_aggregated_of_sparse_features_counts_its_zeros(tmp_path: Path) -> None:
    (cell,) = select("synthetic/gin/fp32")
    built = Experiment(str(cell), 0, tuple(cell.config_files), (), cell).build(tmp_path)
    built.model.eval()
    found = aggregation(built)
    data = built.datamodule.graph_data
    sums = torch.zeros(data.num_nodes, data.x.shape[1]).index_add(
        0, data.edge_index[1], data.x.to_dense()[data.edge_index[0]]
    )
    nodes, means = zip(*((nodes, mean) for nodes, mean, _ in found["convs.0.aggregate"].values()), strict=True)
    assert sum(nodes) == data.num_nodes
    total = sum(n * mean for n, mean in zip(nodes, means, strict=True)) / data.num_nodes
    assert total == pytest.approx(float(sums.double().mean()), rel=1e-6)


def test_moments_of_a_bin_are_those_of_all_its_values() -> None:
    bins, values = torch.tensor([1, 2, 1, 1]), torch.randn(4, 3)
    parts = [(bins[:2], values[:2]), (bins[2:], values[2:])]
    found = sum_by_bin(parts)
    for number in (1, 2):
        chosen = values[bins == number].double()
        count, mean, variance = found[number]
        assert count == len(chosen)
        assert mean == pytest.approx(float(chosen.mean()))
        assert variance == pytest.approx(float(chosen.var(unbiased=False)))
