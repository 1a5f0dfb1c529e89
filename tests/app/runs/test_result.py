"""What results say of the epoch that was chosen, which files are results, and which data is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.reports.records import record
from app.runs.provenance import differing_parts, same
from app.runs.result import Fingerprint, chosen_epoch, is_result

KEPT = Path(__file__).parents[3] / "docs" / "results.jsonl"
RESULT: dict[str, Any] = {"cell": "cora/gcn/dq_int8", "seed": 0, "metrics": {"test/accuracy": 0.5}, "exactness": None}


@pytest.mark.parametrize(
    ("known", "chosen"),
    [
        ({"chosen_epoch": 8, "epochs": 9}, 8),
        ({"chosen_epoch": 0, "epochs": 0}, 0),
        ({"epoch": 7, "epochs": 9}, 8),  # older results count from 0
        ({"epoch": 7}, 8),
        ({"epoch": 0, "epochs": 0}, 0),  # calibrated, not trained
    ],
)
def test_the_chosen_epoch_counts_from_one_in_results_of_every_age(known: dict[str, int], chosen: int) -> None:
    result: Any = {**RESULT, **known}
    assert is_result(result)
    assert chosen_epoch(result) == record(result)["chosen_epoch"] == chosen


def test_a_file_without_an_epoch_is_no_result() -> None:
    assert not is_result(RESULT)


def test_the_chosen_epoch_of_kept_results_is_one_of_those_that_were_trained() -> None:
    kept = [json.loads(line) for line in KEPT.read_text().splitlines()]
    known = [result for result in kept if "epochs" in result]
    assert known
    assert [r for r in known if not min(1, r["epochs"]) <= chosen_epoch(r) <= r["epochs"]] == []


def test_scales_of_features_differ_by_more_than_rounding() -> None:
    def of(*deviation: float, mean: float = 0.0) -> Fingerprint:
        scaling = {"mean": [mean] * len(deviation), "deviation": list(deviation)}
        return Fingerprint(name="d", graphs="g", split="s", scaling=scaling)

    assert same(of(1.0, 2.0), of(1.0 + 1e-12, 2.0, mean=1e-16))
    assert same(of(1.0), Fingerprint(name="d", graphs="g", split="s"))  # of an older version
    for other in (of(1.0, 4.0), of(1.0, 2.0, mean=0.1), of(1.0)):
        assert differing_parts(of(1.0, 2.0), other) == "scales of features"
    assert differing_parts(of(1.0), of(2.0) | {"graphs": "h"}) == "graphs"
