"""Statistics of results over seeds: means, differences, paired tests, and the choice that validation makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan
from statistics import mean

from scipy.stats import ttest_rel, wilcoxon

from app.reports.results import score_of, values_by_seed
from app.runs.result import Result

Pair = tuple[float, float]
"""The values of two columns for the same seed."""


def one_a_seed(results: Iterable[Result]) -> list[Result]:
    """Returns the run of every seed; of copies the last, whose value `values_by_seed` has."""
    return list({result["seed"]: result for result in results}.values())


def pairs_of(one: Iterable[Result], other: Iterable[Result]) -> list[Pair]:
    """Returns the values of both, seed by seed, for the seeds that both have."""
    first, second = values_by_seed(one), values_by_seed(other)
    return [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]


def mean_difference(one: Iterable[Result], other: Iterable[Result]) -> float | None:
    """Returns the mean of `one - other` over the seeds that both have; None if there are none."""
    differences = [first - second for first, second in pairs_of(one, other)]
    return mean(differences) if differences else None


@dataclass(frozen=True)
class PairedTest:
    """Whether two columns differ, by tests on the differences of pairs; two-sided.

    Attributes:
        count: number of pairs.
        difference: mean of first - second.
        interval: 95 % confidence interval of Student's paired t test.
        student, wilcoxon: p of Student's and of Wilcoxon's test.

    Where all differences are equal neither test says anything: interval and p are None.
    """

    count: int
    difference: float
    interval: tuple[float, float] | None = None
    student: float | None = None
    wilcoxon: float | None = None


def paired_test(pairs: Sequence[Pair]) -> PairedTest:
    """Tests at least two pairs."""
    differences = [first - second for first, second in pairs]
    if len(set(differences)) == 1:
        return PairedTest(len(pairs), mean(differences))
    columns = list(zip(*pairs, strict=True))
    student = ttest_rel(*columns)
    low, high = student.confidence_interval(0.95)
    return PairedTest(
        len(pairs), mean(differences), (low, high), float(student.pvalue), float(wilcoxon(*columns).pvalue)
    )


def best_on_validation(candidates: Mapping[str, Sequence[Result]]) -> str:
    """Returns the name of the candidate with the best mean on validation; the test split has no say.

    The means are over the seeds (folds) that all candidates have; if there are none, each is over its own. One that is
    undefined is the worst.
    """
    values = {name: values_by_seed(runs, "val") for name, runs in candidates.items()}
    common = set.intersection(*(set(found) for found in values.values()))
    sign = score_of(next(iter(candidates.values()))[0]).sign

    def quality(name: str) -> float:
        found = sign * mean(value for seed, value in values[name].items() if seed in common or not common)
        return -inf if isnan(found) else found

    return max(values, key=quality)
