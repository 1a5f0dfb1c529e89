from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import fromstring as parse

import pytest

from app.cli.main import main
from app.engine.files import write_atomically
from app.reports.results import Results
from app.reports.summaries import read_lines, write_lines
from app.runs.run_folder import Run

ReadTables = Callable[[str], list[list[str]]]


def test_a_summary_file_gives_the_same_tables(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "new" / "all.jsonl"
    words = ["--format", "markdown"]
    assert main(["report", "--runs-root", str(root), *words, "--summary", str(lines)]) == 0
    from_runs = capsys.readouterr().out
    assert len(lines.read_text().splitlines()) == 10
    assert main(["report", "--from", str(lines), *words]) == 0
    assert capsys.readouterr().out == from_runs


def test_runs_go_before_kept_results_and_both_count(
    read_tables: ReadTables,
    root: Path,
    tmp_path: Path,
    make_results: Callable[..., Results],
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = tmp_path / "kept.jsonl"
    lines.write_text(write_lines(make_results({"cora/gcn/fp32": (0.7, 0.7)})))
    words = ["report", "--from", str(lines), "--format", "markdown"]
    assert main(words) == 0
    assert "| cora/gcn | accuracy % | 70.0 +- 0.0 (2) |" in capsys.readouterr().out
    assert main([*words, "--runs-root", str(root)]) == 0
    rows = read_tables(capsys.readouterr().out)
    assert rows[2][:4] == ["cora/gcn", "accuracy %", "75.8 +- 8.1 (2)", "83.0 +- 3.6 (3)"]  # 81.5 of the run, 70 kept


def test_copies_of_a_run_are_all_kept_in_a_summary(
    root: Path, tmp_path: Path, make_result: Callable[..., dict]
) -> None:
    copy = make_result("cora/gcn/fp32", 0, 0.5, bits=32)
    write_atomically(Run(root / "elsewhere/cora/gcn/fp32/seed=0").result, json.dumps(copy))
    lines = tmp_path / "kept.jsonl"
    assert main(["report", "--runs-root", str(root), "--summary", str(lines), "--output", str(tmp_path / "x")]) == 0
    assert len(read_lines(lines)["cora/gcn/fp32"]) == 2


def test_validation_chooses_and_the_test_set_is_only_shown(
    read_tables: ReadTables, tmp_path: Path, make_result: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text(
        "seeds: 0-1\nentries: [{cells: [cora/gcn/fp32, 'cora/gcn/*q*_int4', zinc/gcn/dq_int4, zinc/gcn/qat_int4]}]\n"
        "choose: {best: [qat_int4, dq_int4], other: [ptq_int4]}"
    )
    scores = {"fp32": (0.9, 0.9), "qat_int4": (0.6, 0.8), "dq_int4": (0.7, 0.5), "nqat_int4": (0.8, 0.9)}
    lines = [
        make_result(f"cora/gcn/{scheme}", seed, test, val=val)
        for scheme, (val, test) in scores.items()
        for seed in (0, 1)
    ]
    # 73 > 70 with it, but no other column has this seed
    lines.append(make_result("cora/gcn/qat_int4", 2, 0.8, val=0.99))
    lines += [
        make_result(f"zinc/gcn/{scheme}", 0, val / 2, val=val, metric="mae")
        for scheme, val in (("qat_int4", 0.5), ("dq_int4", 0.4))
    ]
    source = tmp_path / "kept.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["report", str(grid), "--from", str(source), "--format", "markdown"]) == 0
    rows = read_tables(capsys.readouterr().out)
    start = rows.index(["mine: Chosen on validation"]) + 2
    assert rows[start : start + 2] == [  # 70 > 60 on validation, though 50 < 80 on test; of an error the least
        ["cora/gcn", "best", "dq_int4", "2", "accuracy %", "70.0 +- 0.0 (2)", "50.0 +- 0.0 (2)", "-40.0"],
        ["zinc/gcn", "best", "dq_int4", "2", "MAE", "0.400 (1)", "0.200 (1)", ""],
    ]
    assert rows[start + 2] == [], "nobody ran ptq_int4"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A document with the table of a grid and that of all runs."""
    (tmp_path / "mine.yaml").write_text("title: Mine\nentries: [{cells: cora/gcn/qat_int8, seeds: 0-3}]")
    path = tmp_path / "results.md"
    mark = f"<!-- report {tmp_path / 'mine.yaml'} -->"
    path.write_text(f"Before\n{mark}\n<!-- end -->\nbetween\n<!-- report -->\nold\n\n<!-- end -->\nafter\n")
    return path


def test_a_document_keeps_its_words_and_gets_new_tables(root: Path, document: Path) -> None:
    words = ["report", "--runs-root", str(root), "--document", str(document)]
    assert main(words) == 0
    text = document.read_text()
    mine, rest = text.split("\nbetween\n<!-- report -->\n")
    assert mine.startswith("Before\n<!-- report ")
    assert "\n**Mine**\n" in mine
    assert "| cora/gcn | accuracy % | 63.0 +- 36.1 (4) |" in mine
    assert "dq_int8" not in mine
    assert "| cora/gcn | accuracy % | 81.5 (1) | 83.0 +- 3.6 (3) |" in rest
    assert "old" not in rest
    assert text.endswith("\n<!-- end -->\nafter\n")
    assert main(words) == 0
    assert document.read_text() == text


def test_documents_are_all_written_or_none(
    root: Path, document: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    other = tmp_path / "other.md"
    other.write_text("text")
    before = document.read_text()
    words = ["report", "--runs-root", str(root), "--document", str(document), str(other)]
    assert f"--document {other}: no line" in refused(*words)
    assert document.read_text() == before
    other.write_text("<!-- report -->\n<!-- end -->\n")
    assert main(words) == 0
    assert "**Mine**" in document.read_text()
    assert "cora/gcn" in other.read_text()


def test_a_document_names_its_own_tables(root: Path, document: Path, refused: Callable[..., str]) -> None:
    before = document.read_text()
    words = ["--runs-root", root, "--document", document]
    assert "names its own tables" in refused("report", "table2", *words)
    kept = document.with_name("kept.jsonl")
    assert "names its own tables" in refused("report", *words, "--format", "markdown", "--summary", kept)
    assert not kept.exists()
    assert document.read_text() == before


def test_a_summary_that_is_no_text_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe")
    assert f"{tmp_path / 'x.jsonl'}: is not text" in refused("report", "--from", tmp_path / "x.jsonl")


def test_the_headline_is_a_table_of_its_own(
    read_tables: ReadTables, tmp_path: Path, make_results: Callable[..., Results], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.yaml").write_text(
        "entries: [{cells: ['cora/gcn/fp32', 'cora/gcn/dq_int8', 'cora/gcn/ptq_int8']}]\nchoose: {best INT8: [dq_int8]}"
    )
    grid = tmp_path / "summary.yaml"
    grid.write_text(f"title: Summary\nfigure: headline\ntables: [{tmp_path / 'one.yaml'}]")
    lines = tmp_path / "kept.jsonl"
    scores = {"cora/gcn/fp32": (0.8,), "cora/gcn/dq_int8": (0.7,), "cora/gcn/ptq_int8": (0.75,)}
    lines.write_text(write_lines(make_results(scores)))
    assert main(["report", str(grid), "--from", str(lines), "--format", "markdown"]) == 0
    assert read_tables(capsys.readouterr().out) == [
        ["Summary"],
        ["dataset/architecture", "metric", "FP32", "best INT8", "DQ INT8"],
        ["cora/gcn", "accuracy %", "80.0 (1)", "70.0 (1), dq_int8", "70.0 (1)"],
    ]


def test_a_table_by_name_holds_its_own_cells_only(
    read_tables: ReadTables, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text("title: Mine\nentries: [{cells: cora/gcn/qat_int8, column: plain, seeds: 0-9}]")
    output = tmp_path / "mine.md"
    words = ["report", str(grid), "--runs-root", str(root)]
    Run(root / "cora/gcn/qat_int8/seed=9").write_failure(RuntimeError("out of\nmemory"))
    assert main([*words, "--format", "markdown", "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    rows = read_tables(output.read_text())
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


def test_a_page_has_tables_and_plots_and_fetches_nothing(trained_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.html"
    words = ["report", "--runs-root", str(trained_root), "--format", "html", "--output", str(page)]
    assert main(words) == 0
    text = page.read_text()
    assert "synthetic/gcn/dq_int8" in text
    assert text.index("Headline") < text.index("<svg") < text.index("<h2>Test results")
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


def test_plots_need_a_folder_and_something_to_draw(
    tmp_path: Path, make_results: Callable[..., Results], refused: Callable[..., str]
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    lines = tmp_path / "lines.jsonl"
    lines.write_text(write_lines(make_results({"a/b/fp32": (0.5,)})))
    assert "--plots" in refused("report", "--from", lines, "--plots", tmp_path / "file")
    assert "nothing to draw" in refused("report", "--from", lines, "--plots", tmp_path / "new")
    assert "give nothing but sources" in refused("report", "--document", "x.md", "--plots", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def latency(tmp_path: Path) -> Path:
    ratios = {"PyG eager": 8.0, "best library FP32": 4.0}
    rows = [
        {"name": name, "threads": 1, "fastest": ms, "ratios": {key: value / ms for key, value in ratios.items()}}
        for name, ms in (("PyG eager", 8.0), ("INT8", 2.0))
    ]
    path = tmp_path / "latency.json"
    content = {"results": [{"workload": "zinc", "network": "gin", "rows": rows}], "processor": "a <processor>"}
    path.write_text(json.dumps(content))
    return path


def test_latency_stands_beside_accuracy(
    read_tables: ReadTables, root: Path, latency: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "--runs-root", str(root), "--latency", str(latency), "--format"]
    assert main([*words, "markdown"]) == 0
    rows = read_tables(capsys.readouterr().out)
    assert rows[-1] == ["zinc", "gin", "INT8", "1", "2.00", "4.00"]
    assert rows[-4] == ["Latency of one forward, two layers of width 128, on a <processor>"]
    latency.write_text("{}")
    assert f"--latency {latency}: not figures of `train.py benchmark latency" in refused(*words, "markdown")


def test_a_page_has_bars_of_latency(latency: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["report", "--runs-root", str(tmp_path), "--latency", str(latency), "--format", "html"]) == 0
    text = capsys.readouterr().out
    assert [f'<figure id="{name}"' in text for name in ("headline", "latency")] == [True, True]
    assert "on a &lt;processor&gt;" in text


@pytest.fixture
def trials(tmp_path: Path, make_result: Callable[..., dict]) -> Path:
    """A folder with two experiments: the same cell and seed with two learning rates."""
    for folder, lr in (("a", 0.1), ("b", 0.02)):
        run = Run.of(tmp_path / "trials" / folder, "cora/gcn/dq_int8", 0)
        write_atomically(run.config, f"model: {{lr: {lr}}}\nseed_everything: 0\n")
        write_atomically(run.result, json.dumps(make_result("cora/gcn/dq_int8", 0, lr)))
    return tmp_path / "trials"


def test_experiments_below_one_folder_have_columns_of_their_own_and_their_settings_are_shown(
    read_tables: ReadTables, trials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--runs-root", str(trials), "--format", "markdown"]) == 0
    rows = read_tables(capsys.readouterr().out)
    assert rows[1:3] == [
        ["dataset/architecture", "metric", "dq_int8+lr=0.02", "dq_int8+lr=0.1"],
        ["cora/gcn", "accuracy %", "2.0 (1)", "10.0 (1)"],
    ]
    start = rows.index(["Runs of one cell with other settings"])
    assert rows[start + 2 : start + 4] == [
        ["cora/gcn/dq_int8+lr=0.02", "model.lr=0.02", "b/cora/gcn/dq_int8/seed=0"],
        ["cora/gcn/dq_int8+lr=0.1", "model.lr=0.1", "a/cora/gcn/dq_int8/seed=0"],
    ]


def test_a_table_does_not_take_one_of_several_experiments(
    trials: Path, tmp_path: Path, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text("entries: [{cells: cora/gcn/dq_int8}]")
    assert refused("report", grid, "--runs-root", trials) == (
        "b/cora/gcn/dq_int8/seed=0 and a/cora/gcn/dq_int8/seed=0 are runs of cora/gcn/dq_int8 with other settings "
        "(model.lr: 0.02 and 0.1): --runs-root has to be that of one of them"
    )
    assert main(["report", str(grid), "--runs-root", str(trials / "b"), "--format", "markdown"]) == 0
    told = "trained with other settings: model.lr is 0.02 instead of 0.01"
    assert capsys.readouterr() == ("", f"mine: left out cora/gcn/dq_int8/seed=0, {told}\n")


def test_tables_of_one_title_do_not_replace_each_other(
    read_tables: ReadTables, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, scheme in (("one", "fp32"), ("two", "dq_int8")):
        (tmp_path / f"{name}.yaml").write_text(f"title: Mine\nentries: [{{cells: cora/gcn/{scheme}}}]")
    grids = [str(tmp_path / f"{name}.yaml") for name in ("one", "two", "one")]
    assert main(["report", *grids, "--runs-root", str(root), "--format", "markdown"]) == 0
    rows = read_tables(capsys.readouterr().out)
    assert rows[rows.index(["Mine"]) + 1] == ["dataset/architecture", "metric", "fp32"]
    assert rows[rows.index(["Mine (2)"]) + 1] == ["dataset/architecture", "metric", "dq_int8"]
    assert ["Mine (3)"] not in rows


def test_runs_with_other_settings_than_a_table_states_are_left_out_and_named(
    tmp_path: Path, make_result: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "mine.yaml"
    grid.write_text(
        "seeds: 0-1\nentries: [{cells: ['cora/gcn/fp32', 'cora/gcn/dq_int8'], variant: s, column: '{scheme}', "
        "overrides: {trainer.max_epochs: 99}}, {cells: cora/gat/fp32}]"
    )
    runs = {"cora/gcn/fp32+s": 2, "cora/gcn/dq_int8+s": 99, "cora/gat/fp32": 1}
    for name, epochs in runs.items():
        for seed in (0, 1):
            run = Run.of(tmp_path / "runs", name, seed)
            write_atomically(run.config, json.dumps({"trainer": {"max_epochs": epochs}}))
            write_atomically(run.result, json.dumps(make_result(name, seed, 0.5)))
    words = ["report", str(grid), "--runs-root", str(tmp_path / "runs"), "--format", "markdown"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith(
        "**mine**\n\n| dataset/architecture | metric | dq_int8 |\n|---|---|---|\n"
        "| cora/gcn † | accuracy % | 50.0 +- 0.0 (2) |\n"
    )
    assert "cora/gat" not in out
    assert err.splitlines() == [
        f"mine: left out {name}/seed=0 and 1 more, trained with other settings: trainer.max_epochs is {of} instead of "
        f"{said}"
        for name, of, said in (("cora/gcn/fp32+s", 2, 99), ("cora/gat/fp32", 1, 200))
    ]


def test_a_summary_that_is_a_folder_is_refused_by_its_option(refused: Callable[..., str], root: Path) -> None:
    assert refused("report", "--runs-root", root, "--summary", root) == f"--summary {root}: is a folder; name a file"


def test_a_table_without_runs_is_refused_as_csv(refused: Callable[..., str], trained_root: Path) -> None:
    words = ("report", "table2", "--format", "csv", "--runs-root", trained_root)
    assert refused(*words) == "--format csv: there is no finished run of table2"
