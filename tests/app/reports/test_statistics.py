from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import pytest

from app.reports.statistics import PairedTest, best_on_validation, mean_difference, paired_test, pairs_of


def test_pairs_are_of_common_seeds(make_results: Callable[..., dict]) -> None:
    one, other = make_results({"a/b/c": (0.8, 0.82, 0.87), "a/b/d": (0.5, 0.6)}).values()
    assert pairs_of(one, other) == [(80.0, 50.0), (82.0, 60.0)]
    assert mean_difference(one, other) == pytest.approx(26)
    assert mean_difference(one, []) is None


def test_a_paired_test_is_student_s_and_wilcoxon_s() -> None:
    """Differences 1, 2, 3: t = 2 sqrt(3), 2 degrees of freedom, p = 1 - t / sqrt(t^2 + 2); ranks of one sign: 2/8."""
    test = paired_test([(80.0, 79.0), (82.0, 80.0), (87.0, 84.0)])
    t, half = 2 * sqrt(3), 4.302653 / sqrt(3)  # the 97.5th percentile of t with 2 degrees of freedom, times the error
    assert (test.count, test.difference) == (3, 2.0)
    assert test.interval == pytest.approx((2 - half, 2 + half), abs=1e-5)
    assert test.student == pytest.approx(1 - t / sqrt(t**2 + 2))
    assert test.wilcoxon == 0.25


def test_equal_differences_say_nothing() -> None:
    assert paired_test([(1.0, 0.0), (2.0, 1.0)]) == PairedTest(2, 1.0, None, None, None)


def test_validation_chooses_though_the_test_set_says_otherwise(make_result: Callable[..., dict]) -> None:
    candidates = {
        "worse": [make_result("a/b/worse", 0, 0.8, val=0.6)],
        "better": [make_result("a/b/better", 0, 0.5, val=0.7)],
    }
    assert best_on_validation(candidates) == "better"


def test_validation_looks_only_at_seeds_that_all_have(make_result: Callable[..., dict]) -> None:
    lucky = make_result("a/b/lucky", 1, 0.8, val=0.99)
    candidates = {
        "lucky": [make_result("a/b/lucky", 0, 0.8, val=0.6), lucky],
        "better": [make_result("a/b/better", 0, 0.5, val=0.7)],
    }
    assert best_on_validation(candidates) == "better"
    assert best_on_validation({"lucky": [lucky], "better": candidates["better"]}) == "lucky", "no seed in common"


def test_what_is_undefined_on_validation_is_never_chosen(make_result: Callable[..., dict]) -> None:
    for names in (("known", "undefined"), ("undefined", "known")):
        val = {"known": 0.1, "undefined": float("nan")}
        candidates = {name: [make_result(f"a/b/{name}", 0, 0.5, val=val[name])] for name in names}
        assert best_on_validation(candidates) == "known"


def test_of_an_error_the_least_is_best(make_result: Callable[..., dict]) -> None:
    candidates = {
        name: [make_result(f"a/b/{name}", 0, 0.2, val=val, metric="mae")] for name, val in (("x", 0.5), ("y", 0.4))
    }
    assert best_on_validation(candidates) == "y"
