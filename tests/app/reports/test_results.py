from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine.files import write_atomically
from app.errors import UserError
from app.reports.results import bits_of, collect, merged, read_lines, score_of, values_by_seed, write_lines
from app.runs.run_folder import Run


def test_a_score_is_in_the_unit_of_tables(make_result: Callable[..., dict]) -> None:
    score = score_of(make_result("a/b/c", 0, 0.5))
    assert (score.metric, score.value) == ("accuracy %", 50.0)
    assert score_of(make_result("a/b/c", 0, 0.5, val=0.6), "val").value == 60.0
    error = score_of(make_result("a/b/c", 0, 0.45, metric="mae"))
    assert (error.metric, error.value, error.sign) == ("MAE", 0.45, -1)


def test_a_summary_has_mean_and_sample_deviation_and_number(make_result: Callable[..., dict]) -> None:
    score = score_of(make_result("a/b/c", 0, 0.5))
    assert score.summary([80.0, 82.0, 87.0]) == "83.0 +- 3.6 (3)"
    assert score.summary([81.5]) == "81.5 (1)"
    assert score_of(make_result("a/b/c", 0, 0.45, metric="mae")).summary([0.45, 0.47]) == "0.460 +- 0.014 (2)"


def test_a_result_without_a_known_metric_is_refused() -> None:
    with pytest.raises(UserError, match="a/b/c seed 4: its result has no test metric"):
        score_of({"cell": "a/b/c", "seed": 4, "metrics": {"val/accuracy": 1.0}})


@pytest.mark.parametrize(
    ("scheme", "bits"),
    [("fp32", 32), ("fp32+first5000", 32), ("dq_int8", 8), ("lsq_dq_int4+from_fp32", 4), ("mine", None)],
)
def test_bits_are_those_of_the_scheme_s_name_where_none_are_recorded(scheme: str, bits: int | None) -> None:
    assert bits_of({"cell": f"a/b/{scheme}"}) == bits
    assert bits_of({"cell": f"a/b/{scheme}", "bits": 6}) == 6


def test_values_are_by_seed(root: Path) -> None:
    values = values_by_seed(collect(root)["cora/gcn/dq_int8"])
    assert values == {0: pytest.approx(80), 1: pytest.approx(82), 2: pytest.approx(87)}


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


def test_a_summary_file_holds_every_result(root: Path, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    lines.write_text(write_lines(collect(root)))
    assert read_lines(lines) == collect(root)
    assert write_lines(read_lines(lines)) == lines.read_text()


def test_a_summary_file_with_another_line_is_refused(root: Path, tmp_path: Path) -> None:
    lines = tmp_path / "all.jsonl"
    lines.write_text(write_lines(collect(root)) + "{}\n")
    with pytest.raises(UserError, match="line 11 is not a result"):
        read_lines(lines)
    lines.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not text"):
        read_lines(lines)


def test_of_a_cell_and_seed_in_both_the_found_result_counts(make_results: Callable[..., dict]) -> None:
    kept, found = make_results({"a/b/c": (0.7, 0.7)}), make_results({"a/b/c": (0.8,), "a/b/d": (0.9,)})
    joined = merged(kept, found)
    assert values_by_seed(joined["a/b/c"]) == {0: 80.0, 1: 70.0}
    assert values_by_seed(joined["a/b/d"]) == {0: 90.0}


def test_copies_of_a_run_are_all_collected(root: Path, make_result: Callable[..., dict]) -> None:
    copy = json.dumps(make_result("cora/gcn/fp32", 0, 0.5, bits=32))
    write_atomically(Run(root / "elsewhere/cora/gcn/fp32/seed=0").result, copy)
    assert len(collect(root)["cora/gcn/fp32"]) == 2
