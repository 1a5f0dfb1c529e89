from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest

from app.runs.predictions.rows import Predictions
from app.runs.predictions.table import as_csv, softmax

LOGITS = np.float32([[1, 3, -0.0], [0.1, 0, -2]])


def rows_of(**changes: Any) -> list[dict[str, str]]:
    """The rows of the CSV of two predictions, by column."""
    parts: dict[str, Any] = {
        "kind": "graph", "learned": "classification", "outputs": LOGITS, "ids": ["a", "b"], "parts": ["test", ""],
        "labelled": np.array([True, False]), "targets": np.array([2, 0]), "class_names": (),
    }  # fmt: skip
    return list(csv.DictReader(as_csv(Predictions(**{**parts, **changes})).splitlines()))


def test_a_row_of_classes_has_name_split_target_class_and_a_score_for_each_class() -> None:
    first, second = rows_of()
    assert list(first) == ["graph", "split", "target", "class", "score_0", "score_1", "score_2"]
    assert list(first.values())[:4] == ["a", "test", "2", "1"]
    assert list(second.values())[:4] == ["b", "", "", "0"]


@pytest.mark.parametrize("kind", ["node", "graph"])
def test_a_row_is_called_what_it_is(kind: str) -> None:
    assert [row[kind] for row in rows_of(kind=kind, ids=[7, 9])] == ["7", "9"]


def test_scores_are_probabilities_from_which_logits_can_be_had_back() -> None:
    for row, logits in zip(rows_of(), LOGITS.astype(np.float64), strict=True):
        scores = np.array([float(row[f"score_{i}"]) for i in range(3)])
        assert scores.sum() == pytest.approx(1.0, abs=1e-8)
        np.testing.assert_allclose(np.diff(np.log(scores)), np.diff(logits), atol=1e-8)


def test_scores_of_large_logits_are_finite() -> None:
    np.testing.assert_array_equal(softmax(np.float32([[1e4, -1e4], [-3e38, 3e38]])), [[1.0, 0.0], [0.0, 1.0]])


def test_classes_have_the_labels_of_the_data() -> None:
    first, second = rows_of(class_names=("inactive", "active", "un,known"))
    assert list(first)[4:] == ["score_inactive", "score_active", "score_un,known"]
    assert (first["target"], first["class"]) == ("un,known", "active")
    assert (second["target"], second["class"]) == ("", "inactive")


def test_a_row_of_a_number_has_its_target_and_value_in_exact_decimals() -> None:
    first, second = rows_of(learned="regression", outputs=LOGITS[:, 2:], targets=np.float32([[0.1], [9]]))
    assert first == {"graph": "a", "split": "test", "target": "0.1", "value": "0.0"}
    assert second == {"graph": "b", "split": "", "target": "", "value": "-2.0"}


def test_labels_have_a_column_of_targets_decisions_and_probabilities_each() -> None:
    logits, labels = np.float32([[1, 0, -0.5], [-9e9, 9e9, 0.25]]), np.float32([[0, 1, np.nan], [1, 1, 1]])
    first, second = rows_of(learned="multilabel", outputs=logits, targets=labels, class_names=("a", "b", "c"))
    assert list(first)[2:] == [
        "target_a", "target_b", "target_c", "predicted_a", "score_a", "predicted_b", "score_b", "predicted_c", "score_c"
    ]  # fmt: skip
    assert list(first.values())[2:5] == ["0", "1", ""]
    assert list(second.values())[2:5] == ["", "", ""]
    assert [first[f"predicted_{name}"] for name in "abc"] == ["1", "0", "0"]
    assert [second[f"predicted_{name}"] for name in "abc"] == ["0", "1", "1"]
    odds = [np.log(p / (1 - p)) for p in (float(first[f"score_{name}"]) for name in "abc")]
    np.testing.assert_allclose(odds, logits[0], atol=1e-8)
    assert [float(second[f"score_{name}"]) for name in "ab"] == [0.0, 1.0]


def test_numbers_that_are_not_known_are_empty_and_names_stand_in_the_columns() -> None:
    targets = np.float32([[5, np.nan], [7, 8]])
    first, _ = rows_of(learned="regression", outputs=LOGITS[:, :2], targets=targets, class_names=("gap", "mu"))
    assert list(first.items())[2:] == [
        ("target_gap", "5.0"),
        ("target_mu", ""),
        ("value_gap", "1.0"),
        ("value_mu", "3.0"),
    ]


def test_several_numbers_have_a_column_each() -> None:
    first, _ = rows_of(learned="regression", outputs=LOGITS[:, :2], targets=np.float32([[5, 6], [7, 8]]))
    assert list(first.items())[2:] == [("target_0", "5.0"), ("target_1", "6.0"), ("value_0", "1.0"), ("value_1", "3.0")]
