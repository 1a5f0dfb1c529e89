"""Statistics of results: means, deviations and paired tests over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from scipy.stats import ttest_rel, wilcoxon

from app.reports.results import values_by_seed

Pair = tuple[float, float]
"""The figures of two columns for the same seed."""


def pairs_of(one: Iterable[dict[str, Any]], other: Iterable[dict[str, Any]]) -> list[Pair]:
    """The figures of both, seed by seed, for the seeds that both have."""
    first, second = values_by_seed(one), values_by_seed(other)
    return [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]


def paired(pairs: Sequence[Pair], digits: int) -> list[str]:
    """[pairs, mean difference, its 95 % interval, p, p] of at least two pairs."""
    differences = [first - second for first, second in pairs]
    figures = [str(len(pairs)), f"{mean(differences):+.{digits}f}"]
    if len(set(differences)) == 1:  # no spread: neither test says anything
        return [*figures, "", "", ""]
    values = list(zip(*pairs, strict=True))
    student = ttest_rel(*values)
    low, high = student.confidence_interval(0.95)
    interval = f"{low:+.{digits}f} to {high:+.{digits}f}"
    return [*figures, interval, f"{student.pvalue:.2g}", f"{wilcoxon(*values).pvalue:.2g}"]
