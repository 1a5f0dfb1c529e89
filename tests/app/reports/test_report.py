from __future__ import annotations

import csv
import json
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring as parse

import pytest
import torch

from app.cli.main import main
from app.config.cells import CONFIGS, select
from app.config.settings import read_yaml
from app.engine.files import write_atomically
from app.errors import UserError
from app.reports.in_degree import aggregation
from app.reports.layout import Layout
from app.reports.results import collect, headline, read_lines, values_by_seed, write_lines
from app.reports.rows import without_empty_columns
from app.reports.statistics import paired, pairs_of
from app.reports.writers import FOLDED, markdown
from app.runs.experiment import Experiment
from app.runs.run_folder import Run

EXACT = {
    "codes": 1000,
    "codes_differing": 2,
    "largest_difference": 1,
    "predictions": 10,
    "predictions_differing": 1,
    "margin_violations": 0,
}


def result(cell: str, seed: int, value: float, exactness: dict | None = None, metric: str = "accuracy") -> dict:
    metrics = {"val/accuracy": 0.1, f"test/{metric}": value, "test/loss": 1.0}
    return {"cell": cell, "seed": seed, "metrics": metrics, "epoch": 3, "exactness": exactness}


def write(root: Path, cell: str, seed: int, value: float, exactness: dict | None = None, **more: Any) -> None:
    content = {**result(cell, seed, value, exactness), **more}
    write_atomically(Run(root / cell / f"seed={seed}").result, json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """0.80, 0.82, 0.87 have mean 0.83 and squared deviations 9 + 1 + 16 = 26: sqrt(26 / 2) = 3.6 %.

    0.79, 0.80, 0.84, 0.09: mean 0.63, squares 256 + 289 + 441 + 2916 = 3902, sqrt(3902 / 3) = 36.1 %.
    """
    for seed, accuracy in enumerate((0.80, 0.82, 0.87)):
        write(tmp_path, "cora/gcn/dq_int8", seed, accuracy, {**EXACT, "largest_difference": seed}, bits=8)
    for seed, accuracy in enumerate((0.79, 0.80, 0.84, 0.09)):
        write(tmp_path, "cora/gcn/qat_int8", seed, accuracy, bits=8)
    write(tmp_path, "cora/gcn/qat_int8+m", 0, 0.5, bits=8)
    write(tmp_path, "cora/gcn/fp32", 0, 0.815, bits=32)
    write(tmp_path, "reddit_binary/gin/dq_int8", 0, 0.9, data={"name": "REDDIT-BINARY", "substitute": "a half"})
    return tmp_path


def test_mean_and_sample_deviation_over_seeds() -> None:
    figure = headline(result("a/b/c", 0, 0.5))
    assert (figure.name, figure.value) == ("accuracy %", 50.0)
    assert figure.text([80.0, 82.0, 87.0]) == "83.0 +- 3.6 (3)"
    assert figure.text([81.5]) == "81.5 (1)"
    error = headline(result("a/b/c", 0, 0.45, metric="mae"))
    assert error.text([0.45, 0.47]) == "0.460 +- 0.014 (2)"
    with pytest.raises(UserError, match="a/b/c seed 4: its result has no test metric"):
        headline({"cell": "a/b/c", "seed": 4, "metrics": {"val/accuracy": 1.0}})


def test_results_are_collected_by_cell(root: Path) -> None:
    assert {name: [r["seed"] for r in runs] for name, runs in collect(root).items()} == {
        "cora/gcn/dq_int8": [0, 1, 2],
        "cora/gcn/fp32": [0],
        "cora/gcn/qat_int8": [0, 1, 2, 3],
        "cora/gcn/qat_int8+m": [0],
        "reddit_binary/gin/dq_int8": [0],
    }
    Run(root / "cora/gcn/fp32/seed=1").write_failure(ValueError("diverged"))
    assert len(collect(root)["cora/gcn/fp32"]) == 1


def test_the_overview_has_a_row_per_network_and_a_column_per_scheme_and_variant(root: Path) -> None:
    results = collect(root)
    assert Layout.of_results(results).overview(results) == [
        ["dataset/architecture", "metric", "fp32", "dq_int8", "qat_int8", "qat_int8+m"],
        ["cora/gcn", "accuracy %", "81.5 (1)", "83.0 +- 3.6 (3)", "63.0 +- 36.1 (4)", "50.0 (1)"],
        ["reddit_binary/gin *", "accuracy %", "-", "90.0 (1)", "-", "-"],
    ]


def test_details_hold_ours_against_fp32_and_verified_figures(root: Path) -> None:
    results = collect(root)
    header, *rows = Layout.of_results(results).details(results)
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert table["cora/gcn/dq_int8"]["- our FP32"] == "-1.5", "of seed 0 alone: FP32 has no other"
    assert table["cora/gcn/qat_int8+m"]["- our FP32"] == "-31.5"
    assert table["cora/gcn/dq_int8"]["published"] == "", "recalled figures are not printed"
    assert table["reddit_binary/gin/dq_int8"]["published"] == "91.8"
    assert "Tailor et al. 2021" in table["reddit_binary/gin/dq_int8"]["source"]
    assert table["reddit_binary/gin/dq_int8"]["- our FP32"] == ""


def test_published_figures_name_their_source() -> None:
    for name, figure in read_yaml(CONFIGS / "published.yaml", "").items():
        assert name.count("/") == 2
        assert figure["value"] > 50
        assert len(figure["source"]) > 10


def test_differences_are_paired_over_common_seeds(root: Path) -> None:
    """Differences 1, 2, 3: t = 2 sqrt(3), 2 degrees of freedom, p = 1 - t / sqrt(t^2 + 2); ranks of one sign: 2/8."""
    results = collect(root)
    t = 2 * sqrt(3)
    _, row = Layout.of_results(results).significance(results)
    half = 4.303 / sqrt(3)  # the 97.5th percentile of t with 2 degrees of freedom, times the standard error
    assert row[:5] == ["cora/gcn", "dq_int8 - qat_int8", "3", "+2.00", f"{2 - half:+.2f} to {2 + half:+.2f}"]
    assert float(row[5]) == pytest.approx(1 - t / sqrt(t**2 + 2), rel=0.05)
    assert float(row[6]) == 0.25
    one, other = results["cora/gcn/dq_int8"], results["cora/gcn/fp32"]
    assert len(pairs_of(one, other)) == 1
    assert paired(pairs_of(one, one), 2) == ["3", "+0.00", "", "", ""]
    assert values_by_seed(one) == {0: pytest.approx(80), 1: pytest.approx(82), 2: pytest.approx(87)}


def test_rows_of_one_metric_are_tested_together_too() -> None:
    figures = {"cora/gcn": (0.5, 0.6), "cora/gat": (0.8, 0.85), "zinc/gcn": (0.4, 0.3), "mnist/gcn": (0.9,)}
    metrics = {"zinc/gcn": "mae"}
    results = {
        f"{row}/{scheme}_int8": [
            result(f"{row}/{scheme}_int8", seed, value + gain * (seed + 1), None, metrics.get(row, "accuracy"))
            for seed, value in enumerate(values)
        ]
        for row, values in figures.items()
        for scheme, gain in (("dq", 0.01), ("qat", 0.0))
    }
    _, *rows = Layout.of_results(results).significance(results)
    assert [row[:4] for row in rows] == [
        ["cora/gat", "dq_int8 - qat_int8", "2", "+1.50"],
        ["cora/gcn", "dq_int8 - qat_int8", "2", "+1.50"],
        ["zinc/gcn", "dq_int8 - qat_int8", "2", "+0.0150"],
        ["all 2 rows", "dq_int8 - qat_int8", "4", "+1.50"],
    ]


def test_exactness_sums_counts_and_takes_the_largest_difference(root: Path) -> None:
    results = collect(root)
    _, row = Layout.of_results(results).exactness(results)
    # 3 runs of 1,000 codes, 2 each differing by at most 2; 10 predictions, 1 each differing
    assert row == ["cora/gcn/dq_int8", "3", "3,000", "6", "2", "30", "3", "0"]


def test_what_is_not_the_original_data_is_named(root: Path) -> None:
    results = collect(root)
    _, row = Layout.of_results(results).data(results)
    assert row == ["reddit_binary", "REDDIT-BINARY", "a half"]


def test_empty_columns_are_left_out() -> None:
    assert without_empty_columns([["a", "b", "c"], ["1", "", "2"], ["", "", ""]]) == [["a", "c"], ["1", "2"], ["", ""]]


def test_a_summary_file_gives_the_same_tables(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "new" / "all.jsonl"
    words = ["--format", "markdown"]
    assert main(["report", "--runs-root", str(root), *words, "--summary", str(lines)]) == 0
    from_runs = capsys.readouterr().out
    assert len(lines.read_text().splitlines()) == 10
    assert main(["report", "--from", str(lines), *words]) == 0
    assert capsys.readouterr().out == from_runs
    assert write_lines(read_lines(lines)) == lines.read_text()
    lines.write_text(lines.read_text() + "{}\n")
    with pytest.raises(UserError, match="line 11 is not a result"):
        read_lines(lines)


def test_runs_go_before_kept_results_and_both_count(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "kept.jsonl"
    kept = {"cora/gcn/fp32": [result("cora/gcn/fp32", seed, 0.7) for seed in (0, 1)]}
    lines.write_text(write_lines(kept))
    words = ["report", "--from", str(lines), "--format", "csv"]
    assert main(words) == 0
    assert "cora/gcn,accuracy %,70.0 +- 0.0 (2)" in capsys.readouterr().out
    assert main([*words, "--runs-root", str(root)]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[2][:4] == ["cora/gcn", "accuracy %", "75.8 +- 8.1 (2)", "83.0 +- 3.6 (3)"]  # 81.5 of the run, 70 kept


def test_copies_of_a_run_are_all_kept_in_a_summary(root: Path, tmp_path: Path) -> None:
    copy = {**result("cora/gcn/fp32", 0, 0.5), "bits": 32}
    write_atomically(Run(root / "elsewhere/cora/gcn/fp32/seed=0").result, json.dumps(copy))
    lines = tmp_path / "kept.jsonl"
    assert main(["report", "--runs-root", str(root), "--summary", str(lines), "--output", str(tmp_path / "x")]) == 0
    assert len(read_lines(lines)["cora/gcn/fp32"]) == 2


def test_validation_chooses_and_the_test_set_is_only_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text(
        "seeds: 0-1\nentries: [{cells: [cora/gcn/fp32, 'cora/gcn/*q*_int4', zinc/gcn/dq_int4, zinc/gcn/qat_int4]}]\n"
        "choose: {best: [qat_int4, dq_int4], other: [ptq_int4]}"
    )
    figures = {"fp32": (0.9, 0.9), "qat_int4": (0.6, 0.8), "dq_int4": (0.7, 0.5), "nqat_int4": (0.8, 0.9)}
    lines = [
        result(f"cora/gcn/{scheme}", seed, test) | {"metrics": {"val/accuracy": val, "test/accuracy": test}}
        for scheme, (val, test) in figures.items()
        for seed in (0, 1)
    ]
    lucky = {"val/accuracy": 0.99, "test/accuracy": 0.8}  # 73 > 70 with it, but no other column has this seed
    lines.append(result("cora/gcn/qat_int4", 2, 0) | {"metrics": lucky})
    lines += [
        result(f"zinc/gcn/{scheme}", 0, 0) | {"metrics": {"val/mae": val, "test/mae": val / 2}}
        for scheme, val in (("qat_int4", 0.5), ("dq_int4", 0.4))
    ]
    source = tmp_path / "kept.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["report", str(grid), "--from", str(source), "--format", "csv"]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    start = rows.index(["mine: Chosen on validation"]) + 2
    assert rows[start : start + 2] == [  # 70 > 60 on validation, though 50 < 80 on test; of an error the least
        ["cora/gcn", "best", "dq_int4", "2", "accuracy %", "70.0 +- 0.0 (2)", "50.0 +- 0.0 (2)", "-40.0"],
        ["zinc/gcn", "best", "dq_int4", "2", "MAE", "0.400 (1)", "0.200 (1)", ""],
    ]
    assert rows[start + 2] == [], "nobody ran ptq_int4"


def test_a_document_keeps_its_words_and_gets_new_tables(
    root: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "mine.yaml").write_text("title: Mine\nentries: [{cells: cora/gcn/qat_int8, seeds: 0-3}]")
    document = tmp_path / "results.md"
    mark = f"<!-- report {tmp_path / 'mine.yaml'} -->"
    document.write_text(f"Before\n{mark}\n<!-- end -->\nbetween\n<!-- report -->\nold\n\n<!-- end -->\nafter\n")
    words = ["report", "--runs-root", str(root), "--document", str(document)]
    assert main(words) == 0
    text = document.read_text()
    mine, rest = text.split("\nbetween\n<!-- report -->\n")
    assert mine.startswith(f"Before\n{mark}\n**Mine**\n")
    assert "| cora/gcn | accuracy % | 63.0 +- 36.1 (4) |" in mine
    assert "dq_int8" not in mine
    assert "| cora/gcn | accuracy % | 81.5 (1) | 83.0 +- 3.6 (3) |" in rest
    assert "old" not in rest
    assert text.endswith("\n<!-- end -->\nafter\n")
    assert main(words) == 0
    assert document.read_text() == text

    assert "names its own tables" in refused(*words, "table2")
    document.write_text(f"{mark}\ntext\n{mark}\n<!-- end -->\n")
    assert "2 lines begin `<!-- report`, but 1 of them" in refused(*words)
    document.write_text("text")
    assert "says where a table belongs" in refused(*words)
    assert document.read_text() == "text"
    document.write_bytes(b"\xff\xfe")
    assert f"--document {document}: is not text" in refused(*words)
    assert f"{document}: is not text" in refused("report", "--from", document)
    document.unlink()
    assert f"--document {document}: cannot be read" in refused(*words)
    kept = tmp_path / "kept.jsonl"
    assert "names its own tables" in refused(*words, "--format", "csv", "--summary", kept)
    assert not kept.exists()


def test_long_tables_of_a_document_are_folded_up() -> None:
    rows = [["a"], *([str(i)] for i in range(FOLDED + 1))]
    begin = f"<details><summary>many ({FOLDED + 1} rows)</summary>\n\n| a |\n|---|\n| 0 |\n"
    assert markdown("many", rows).startswith(begin)
    assert markdown("many", rows).endswith(f"| {FOLDED} |\n\n</details>\n")
    assert "details" not in markdown("few", rows[:-1])


def test_a_table_by_name_holds_its_own_cells_only(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text("title: Mine\nentries: [{cells: cora/gcn/qat_int8, column: plain, seeds: 0-9}]")
    output = tmp_path / "mine.csv"
    words = ["report", str(grid), "--runs-root", str(root)]
    Run(root / "cora/gcn/qat_int8/seed=9").write_failure(RuntimeError("out of\nmemory"))
    assert main([*words, "--format", "csv", "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    rows = list(csv.reader(output.read_text().splitlines()))
    assert rows[:3] == [
        ["Mine"],
        ["dataset/architecture", "metric", "plain"],
        ["cora/gcn", "accuracy %", "63.0 +- 36.1 (4)"],
    ]
    assert rows[-1] == ["cora/gcn/qat_int8/seed=9", "out of memory"]
    assert not any("dq_int8" in cell for row in rows for cell in row)


def test_a_file_gets_the_screen_s_tables_uncut_and_a_narrow_screen_folds_them(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["report", "--runs-root", str(root)]) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 80
    assert "…" not in narrow
    monkeypatch.delenv("COLUMNS")
    assert main(["report", "--runs-root", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("Tailor et al. 2021, Table 3 (authors' log" in line for line in lines)
    row = next(line for line in lines if line.startswith("│ cora/gcn "))
    assert row.index("81.5 (1)") < row.index("83.0 +- 3.6 (3)")


def test_markdown_is_a_table_with_as_many_cells_in_every_line() -> None:
    text = markdown("title", [["cell", "a", "b"], ["x", "1", "2"], ["y", "3", "4"]])
    title, empty, *lines = text.strip().splitlines()
    assert title == "**title**"
    assert empty == ""
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {4}
    assert set(lines[1]) == {"|", "-"}


def test_a_page_has_tables_and_plots_and_fetches_nothing(trained_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.html"
    words = ["report", "--runs-root", str(trained_root), "--format", "html", "--output", str(page)]
    assert main(words) == 0
    text = page.read_text()
    assert "synthetic/gcn/dq_int8" in text
    assert text.count("<svg") == text.count("</svg>") == 3  # error by in-degree, validation loss, ranges
    for tag in ("src=", "<script", "<link", "@import"):
        assert tag not in text
    assert main(words) == 0
    assert page.read_text() == text
    folder = tmp_path / "plots"
    assert main(["report", "--runs-root", str(trained_root), "--plots", str(folder)]) == 0
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(files) == {f"synthetic-gcn-{what}.svg" for what in ("error-by-in-degree", "validation-loss", "ranges")}
    assert all(picture in text and parse(picture).tag.endswith("svg") for picture in files.values())


def test_plots_need_a_folder_and_something_to_draw(root: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    lines = tmp_path / "lines.jsonl"
    lines.write_text(write_lines({"a/b/fp32": [{**result("a/b/fp32", 0, 0.5), "bits": 32}]}))
    assert "--plots" in refused("report", "--from", lines, "--plots", tmp_path / "file")
    assert "nothing to draw" in refused("report", "--from", lines, "--plots", tmp_path / "new")
    assert "give nothing but sources" in refused("report", "--document", "x.md", "--plots", tmp_path / "new")
    assert not (tmp_path / "new").exists()


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


def test_latency_stands_beside_accuracy(
    root: Path, latency: Path, tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "--runs-root", str(root), "--latency", str(latency), "--format"]
    assert main([*words, "csv"]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[-3:] == [
        ["zinc", "gin", "PyG eager", "1", "8.00", "1.00"],
        ["zinc", "gin", "INT8", "1", "2.00", "4.00"],
        ["zinc", "gin", "INT4", "1", "1.50", ""],
    ]
    assert rows[-5] == ["Latency of one forward, two layers of width 128, on a <processor>"]
    for text in ("{}", "no json", '{"results": [{}]}'):
        latency.write_text(text)
        assert f"--latency {latency}: not figures of `train.py benchmark latency" in refused(*words, "csv")


def test_a_page_has_bars_of_latency(latency: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["report", "--runs-root", str(tmp_path), "--latency", str(latency), "--format", "html"]) == 0
    text = capsys.readouterr().out
    assert text.count("<svg") == 1
    assert "on a &lt;processor&gt;" in text


def test_the_distribution_of_in_degrees_needs_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = tmp_path / "figure.yaml"
    grid.write_text("title: In-degrees\nfigure: in_degree\nentries: [{cells: synthetic/gcn/fp32}]")
    assert main(["reproduce", str(grid), "--runs-root", str(tmp_path / "runs")]) == 0
    assert "0 of 0 runs finished" in capsys.readouterr().out
    assert not list(tmp_path.glob("runs/**/*.ckpt"))
    assert main(["report", str(grid), "--runs-root", str(tmp_path / "runs"), "--format", "csv"]) == 0
    _, header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["dataset", "in-degree", "nodes", "%"]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 2700
    assert sum(float(row[3]) for row in rows) == pytest.approx(100, abs=0.1)


def test_figures_by_in_degree_are_of_the_run(
    trained_root: Path, tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "figure.yaml"
    grid.write_text("title: By degree\nfigure: aggregation\nentries: [{cells: synthetic/gcn/fp32}]")
    words = ["report", str(grid), "--runs-root"]
    assert main([*words, str(trained_root), "--format", "csv"]) == 0
    _, header, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["network", "layer", "in-degree", "nodes", "mean", "variance"]
    layers = {row[1] for row in rows}
    assert len(layers) == 2
    for layer in layers:
        assert sum(int(row[3]) for row in rows if row[1] == layer) == 300
    assert main([*words, str(trained_root), "--format", "html", "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text().count("<svg") == 2  # mean and variance
    (tmp_path / "empty").mkdir()
    assert "no finished run" in refused(*words, tmp_path / "empty")


def test_bins_of_in_degree_stand_in_order_whoever_names_them_first() -> None:
    pytest.importorskip("matplotlib")
    from app.reports.plots import by_degree

    rows = [["dataset", "in-degree", "%"], ["a", "1", "70"], ["a", "16-31", "30"], ["b", "0", "1"], ["b", "2-3", "99"]]
    (axes,) = by_degree("title", rows, "%").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "2-3", "16-31"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines] == [
        ([1, 3], [70.0, 30.0]),
        ([0, 2], [1.0, 99.0]),
    ]


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
