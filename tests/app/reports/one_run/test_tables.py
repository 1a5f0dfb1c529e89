from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.reports.one_run import tables
from app.reports.one_run.evidence import Evidence
from app.reports.one_run.figures import label_picture, residual_picture
from app.reports.one_run.predicted import (
    by_degree,
    confusions,
    frequent,
    label_counts,
    label_rows,
    matrix,
    residual_rows,
)
from app.reports.one_run.tables import tables_of_run
from app.reports.plots.log import Log
from app.runs.run_folder import Run


def found_of(outputs: Any, targets: Any, bins: Any = (), learned: str = "classification", kind: str = "node") -> Any:
    """What tables read of evidence: predictions of test rows, and the bins of their in-degrees."""
    predictions = SimpleNamespace(
        outputs=np.asarray(outputs, np.float32), targets=np.asarray(targets), learned=learned, kind=kind, class_names=()
    )
    return SimpleNamespace(predictions=predictions, degree_bins=np.asarray(bins))


def test_confusions_count_which_class_was_taken_for_which() -> None:
    logits = np.eye(3)[[0, 1, 1, 2, 0]]
    counts = confusions(found_of(logits, [0, 1, 2, 2, 2]))
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 0], [1, 1, 1]])
    assert matrix(counts, ["a", "b", "c"]) == [
        ["class \\ taken for", "a", "b", "c", "recall %"],
        ["a", "1", "0", "0", "100.0"],
        ["b", "0", "1", "0", "100.0"],
        ["c", "1", "1", "1", "33.3"],
        ["precision %", "50.0", "50.0", "100.0", ""],
    ]


def test_frequent_confusions_are_in_order_and_without_what_is_right() -> None:
    counts = np.array([[9, 1, 0], [3, 9, 0], [0, 2, 9]])
    assert frequent(counts, ["a", "b", "c"])[1:] == [["b", "a", "3"], ["c", "b", "2"], ["a", "b", "1"]]


def test_errors_by_in_degree_add_up() -> None:
    rows = by_degree(found_of(np.eye(2)[[0, 1, 1, 0]], [0, 0, 1, 1], [1, 1, 2, 4]))
    assert rows == [
        ["in-degree", "nodes", "wrong", "wrong %"],
        ["1", "2", "1", "50.0"],
        ["2-3", "1", "0", "0.0"],
        ["8-15", "1", "1", "100.0"],
    ]


def test_errors_of_numbers_are_absolute_and_residuals_have_signs() -> None:
    found = found_of([[1.0], [2.0], [7.0]], [[0.0], [4.0], [7.0]], [1, 1, 2], "regression", "graph")
    assert by_degree(found) == [
        ["mean in-degree of the graph", "graphs", "mean absolute error"],
        ["1", "2", "1.5"],
        ["2-3", "1", "0"],
    ]
    header, row = residual_rows(found)
    assert float(row[header.index("mean")]) == pytest.approx(-1 / 3, abs=1e-4)
    assert [float(row[header.index(share)]) for share in ("0 %", "50 %", "100 %")] == [-2.0, 0.0, 1.0]


def test_a_label_is_counted_where_it_is_known() -> None:
    targets = [[1, 0], [1, np.nan], [0, np.nan], [1, 0]]
    found = found_of([[1, -1], [-1, 5], [1, 5], [2, -1]], targets, [1, 1, 1, 2], "multilabel")
    assert label_rows(found) == [
        ["label", "rows", "with it", "predicted", "precision %", "recall %", "F1 %"],
        ["0", "4", "3", "3", "66.7", "66.7", "66.7"],
        ["1", "2", "0", "0", "", "", ""],
    ]
    assert by_degree(found) == [
        ["in-degree", "nodes", "labels wrong %"],
        ["1", "3", "66.7"],  # none of two, the one that is known, the one that is known
        ["2-3", "1", "0.0"],
    ]
    (axes,) = label_picture(label_counts(found), ["0", "1"]).axes
    assert [bar.get_height() for bar in axes.patches] == [pytest.approx(200 / 3), 0.0]


def test_each_of_several_numbers_has_its_residuals_where_it_is_known() -> None:
    found = found_of([[1.0, 5.0], [2.0, 5.0]], [[0.0, np.nan], [4.0, np.nan]], [1, 1], "regression")
    header, *rows = residual_rows(found)
    assert [(row[header.index("target")], row[header.index("rows")]) for row in rows] == [("0", "2"), ("1", "0")]
    assert rows[0][header.index("mean absolute")] == "1.5"
    assert set(rows[1][2:]) == {""}
    assert residual_picture(found, 0, "0") is not None
    assert residual_picture(found, 1, "1") is None


@pytest.fixture(scope="module")
def evidence(dq_run: Run) -> Evidence:
    """What there is of the DQ INT8 run."""
    return Evidence.of(dq_run)


def test_a_run_has_a_table_of_everything(evidence: Evidence, dq_run: Run) -> None:
    found = tables_of_run(evidence, Log.of(dq_run))
    result, titles = dq_run.read_result(), list(found)
    assert titles[:-1] == [
        "The run",
        "Metrics at the epoch chosen on validation",
        "Confusion matrix, test",
        "Error by in-degree, test",
        "Ranges, and what they clip",
        "Integer program against evaluation of the trained model",
        "Size",
    ]
    assert titles[-1].startswith("Latency of one forward of 300 nodes")
    assert ["accuracy", *(f"{result['metrics'][f'{s}/accuracy']:.4f}" for s in ("val", "test"))] in found[titles[1]]
    assert [row[0] for row in found[titles[-1]][1:]] == ["network in FP32 (torch)", "integer program"]
    assert found["Size"][-2][0] == "total"
    assert found["Size"][-1] == ["program", "all constants", "", "", f"{evidence.program.num_bytes:,}"]


def test_errors_of_the_tables_are_those_of_the_result(evidence: Evidence, dq_run: Run) -> None:
    counts = confusions(evidence)
    accuracy = dq_run.read_result()["metrics"]["test/accuracy"]
    assert counts.trace() / counts.sum() == pytest.approx(accuracy)
    kept = dq_run.read_result()["error_by_degree"]
    rows = {row[0]: {"nodes": int(row[1]), "wrong": int(row[2])} for row in by_degree(evidence)[1:]}
    assert rows == kept


def test_a_range_holds_zero_and_its_ends_are_as_many_steps_apart_as_there_are_codes(evidence: Evidence) -> None:
    rows = tables.ranges(evidence, None)[1:]
    assert [row[0] for row in rows] == [site.name for site in evidence.sites]
    for _, bits, low, high, step, _ in rows:
        assert float(low) <= 0.0 <= float(high)
        assert float(high) - float(low) == pytest.approx((2 ** int(bits) - 1) * float(step), rel=1e-3)


def test_the_network_is_timed_in_floats(evidence: Evidence, fp32_run: Run) -> None:
    assert len(evidence.latency) == 2
    before = [site.bits for site in evidence.sites]
    assert set(before) == {8}
    assert list(Evidence.of(fp32_run).latency) == ["network in FP32 (torch)"]
    assert not Evidence.of(fp32_run).sites
