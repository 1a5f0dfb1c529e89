"""Tables of results: what fills which place, against what it is held, and how sure a difference is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from app.config.cells import CONFIGS
from app.config.grids import Grid
from app.config.settings import read_yaml
from app.reports.results import Results, headline, values_by_seed
from app.reports.rows import Rows, without_empty_columns
from app.reports.statistics import Pair, paired, pairs_of

EXACTNESS: dict[str, tuple[str, Callable[[Iterable[int]], int]]] = {
    "codes": ("codes", sum),
    "differ": ("codes_differing", sum),
    "largest": ("largest_difference", max),
    "predictions": ("predictions", sum),
    "differ ": ("predictions_differing", sum),
    "beyond margin": ("margin_violations", sum),
}
"""Columns of the exactness table: the key in a result, and how the seeds' figures become one."""

MARK = "*"
"""Stands at rows that are not of the published data."""

PAIRS = tuple((f"dq_int{bits}", f"{rival}_int{bits}") for bits in (8, 4) for rival in ("qat", "nqat"))
"""Columns that are compared where no grid says which."""


@dataclass(frozen=True)
class Place:
    """One place of a table, with the name of the cell whose results fill it."""

    row: str
    column: str
    name: str


@dataclass(frozen=True)
class Layout:
    """A table to fill: its places, the pairs of columns to compare, and the columns among which validation chooses."""

    title: str
    places: tuple[Place, ...]
    compare: Sequence[tuple[str, str]] = PAIRS
    choose: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of_grid(cls, grid: Grid) -> Layout:
        """As a grid says."""
        places = tuple(Place(slot.row, slot.column, slot.name) for slot in grid.slots)
        return cls(grid.title, places, grid.compare, grid.choose)

    @classmethod
    def of_results(cls, results: Results) -> Layout:
        """A column per scheme and variant, FP32 first."""
        places = [Place(*_split(name), name) for name in results]
        places.sort(key=lambda place: (place.row, not place.column.startswith("fp32"), place.column))
        return cls("Test results, mean +- deviation (seeds)", tuple(places))

    def tables(self, results: Results) -> dict[str, Rows]:
        """All tables by title; empty ones are left out."""
        tables = {
            self.title: self.overview(results),
            "Chosen on validation": self.choices(results),
            "Against our FP32 and published figures": self.details(results),
            "Paired over seeds": self.significance(results),
            "Integer program against evaluation of the trained model": self.exactness(results),
            f"{MARK} Data": self.data(results),
        }
        return {title: without_empty_columns(rows) for title, rows in tables.items() if len(rows) > 1}

    def overview(self, results: Results) -> Rows:
        """A row per data set and network, a column per scheme; `MARK` where a result is not of the published data."""
        columns = list(dict.fromkeys(place.column for place in self.filled(results)))
        columns.sort(key=lambda column: not column.startswith("fp32"))
        names = {(place.row, place.column): place.name for place in self.filled(results)}
        rows = [["dataset/architecture", "metric", *columns]]
        for row in self._rows(results):
            found = [results.get(names.get((row, column), "")) or [] for column in columns]
            metric = next(headline(runs[0]) for runs in found if runs)
            mark = f" {MARK}" if any(_substitute(result) for runs in found for result in runs) else ""
            rows.append([row + mark, metric.name, *(_mean_and_deviation(runs) if runs else "-" for runs in found)])
        return rows

    def choices(self, results: Results) -> Rows:
        """A row per data set, network and choice: the column that is best on validation, and how it tests."""
        rows = [["dataset/architecture", "choice", "chosen", "of", "metric", "validation", "test", "- our FP32"]]
        references = self._references(results)
        for row in self._rows(results):
            for choice, columns in self.choose.items():
                candidates = [p for p in self.filled(results) if p.row == row and p.column in columns]
                if candidates:
                    chosen = _best(candidates, results)
                    runs = results[chosen.name]
                    metric = headline(runs[0])
                    rows.append(
                        [
                            row,
                            choice,
                            chosen.column,
                            str(len(candidates)),
                            metric.name,
                            metric.text(list(values_by_seed(runs, "val").values())),
                            _mean_and_deviation(runs),
                            _difference(runs, results.get(references.get(row, ""))),
                        ]
                    )
        return rows

    def details(self, results: Results) -> Rows:
        """A row per place: ours against our FP32 and against others' figures, where those are verified."""
        published = read_yaml(CONFIGS / "published.yaml", "configs/published.yaml")
        references = self._references(results)
        rows = [["cell", "metric", "seeds", "mean", "deviation", "- our FP32", "published", "source"]]
        for place in self.filled(results):
            runs = results[place.name]
            values, metric = list(values_by_seed(runs).values()), headline(runs[0])
            digits = metric.decimals
            other = published.get(place.name.partition("+")[0], {})
            rows.append(
                [
                    place.name,
                    metric.name,
                    str(len(values)),
                    f"{mean(values):.{digits}f}",
                    f"{stdev(values):.{digits}f}" if len(values) > 1 else "",
                    _difference(runs, results.get(references.get(place.row, ""))),
                    str(other.get("value", "")),
                    other.get("source", ""),
                ]
            )
        return rows

    def significance(self, results: Results) -> Rows:
        """Differences over the seeds that both columns have, row by row and over all rows of a metric.

        With the 95 % interval of Student's paired t, and p, two-sided, of that test and of Wilcoxon's.
        """
        places = {(place.row, place.column): place.name for place in self.filled(results)}
        rows = [["dataset/architecture", "difference", "pairs", "mean", "95 % interval", "p (t)", "p (Wilcoxon)"]]
        pooled: dict[tuple[str, str, int], list[list[Pair]]] = defaultdict(list)
        for row in self._rows(results):
            for one, other in self.compare:
                first, second = (results.get(places.get((row, column), "")) for column in (one, other))
                pairs = pairs_of(first, second) if first and second else []
                if first and len(pairs) > 1:
                    metric = headline(first[0])
                    rows.append([row, f"{one} - {other}", *paired(pairs, metric.decimals + 1)])
                    pooled[f"{one} - {other}", metric.name, metric.decimals + 1].append(pairs)
        for (difference, _, digits), parts in pooled.items():
            if len(parts) > 1:
                pairs = [pair for part in parts for pair in part]
                rows.append([f"all {len(parts)} rows", difference, *paired(pairs, digits)])
        return rows

    def exactness(self, results: Results) -> Rows:
        """Integer program against trained model, over the seeds of a cell."""
        rows = [["cell", "runs", *EXACTNESS]]
        for name in dict.fromkeys(place.name for place in self.filled(results)):
            exact = [result["exactness"] for result in results[name] if result["exactness"]]
            if exact:
                figures = [f"{over(e[key] for e in exact):,}" for key, over in EXACTNESS.values()]
                rows.append([name, str(len(exact)), *figures])
        return rows

    def data(self, results: Results) -> Rows:
        """Which of the data is not the published original."""
        remarks = {
            (_split(place.name)[0].partition("/")[0], result["data"]["name"], result["data"]["substitute"])
            for place in self.filled(results)
            for result in results[place.name]
            if _substitute(result)
        }
        return [["dataset", "name", "is not the published original"], *(list(remark) for remark in sorted(remarks))]

    def filled(self, results: Mapping[str, Any]) -> list[Place]:
        """The places that have results."""
        return [place for place in self.places if place.name in results]

    def _rows(self, results: Results) -> list[str]:
        """`dataset/architecture` of the places that have results, once each."""
        return list(dict.fromkeys(place.row for place in self.filled(results)))

    def _references(self, results: Results) -> dict[str, str]:
        """The FP32 cell of every row."""
        return {place.row: place.name for place in self.filled(results) if place.column.startswith("fp32")}


def _split(name: str) -> tuple[str, str]:
    """`dataset/architecture` and scheme."""
    row, _, scheme = name.rpartition("/")
    return row, scheme


def _substitute(result: dict[str, Any]) -> str:
    return str(result.get("data", {}).get("substitute", ""))


def _best(places: Sequence[Place], results: Results) -> Place:
    """That of the best mean on validation, over the seeds (folds) that all have; without any, each over its own."""
    values = {place: values_by_seed(results[place.name], "val") for place in places}
    common = set.intersection(*(set(found) for found in values.values()))
    sign = headline(results[places[0].name][0]).sign

    def quality(place: Place) -> float:
        return sign * mean(value for seed, value in values[place].items() if seed in common or not common)

    return max(places, key=quality)


def _difference(runs: Sequence[dict[str, Any]], reference: Sequence[dict[str, Any]] | None) -> str:
    """The mean over the seeds that both have; nothing without any."""
    differences = [ours - theirs for ours, theirs in pairs_of(runs, reference or [])]
    return f"{mean(differences):+.{headline(runs[0]).decimals}f}" if differences else ""


def _mean_and_deviation(results: Sequence[dict[str, Any]]) -> str:
    return headline(results[0]).text(list(values_by_seed(results).values()))
