"""Results of finished runs, from run folders or from a summary file, and their figures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from app.errors import UserError
from app.runs.result import is_result
from app.runs.run_folder import finished_runs

Results = dict[str, list[dict[str, Any]]]
"""Results by the name of their cell (`dataset/architecture/scheme`, with `+variant` where there is one)."""

METRICS = {"accuracy": ("accuracy %", 100.0, 1, 1), "mae": ("MAE", 1.0, 3, -1)}
"""Metric in a result -> its name in tables, factor, decimals; 1 where more is better, -1 where less is."""


@dataclass(frozen=True)
class Figure:
    """The test metric of a run, in the unit of tables. `sign`: 1 where more is better, -1 where less is."""

    name: str
    value: float
    decimals: int
    sign: int

    def text(self, values: Sequence[float]) -> str:
        """`mean +- sample deviation (n)`."""
        deviation = f" +- {stdev(values):.{self.decimals}f}" if len(values) > 1 else ""
        return f"{mean(values):.{self.decimals}f}{deviation} ({len(values)})"


def headline(result: Mapping[str, Any], split: str = "test") -> Figure:
    """The figure of a run that tables show: at the epoch chosen on validation.

    Raises:
        UserError: if the result has none of the known metrics.
    """
    for key, (name, factor, decimals, sign) in METRICS.items():
        if f"{split}/{key}" in result["metrics"]:
            return Figure(name, factor * result["metrics"][f"{split}/{key}"], decimals, sign)
    raise UserError(f"{result['cell']} seed {result['seed']}: its result has no {split} metric")


def values_by_seed(results: Iterable[dict[str, Any]], split: str = "test") -> dict[int, float]:
    """The figure of every seed."""
    return {result["seed"]: headline(result, split).value for result in results}


def collect(root: Path) -> Results:
    """All results below `root`."""
    return _grouped(result for _, result in finished_runs(root))


def write_lines(results: Results) -> str:
    """JSON lines: one result each, from which every table can be computed again."""
    return "".join(json.dumps(result, sort_keys=True) + "\n" for runs in results.values() for result in runs)


def read_lines(path: Path) -> Results:
    """The results in a summary file.

    Raises:
        UserError: if it is not text, or a line is not a result.
    """
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not text; name a file that `report --summary` wrote") from None
    results = []
    for number, line in enumerate(lines, 1):
        try:
            result = json.loads(line)
        except ValueError:
            result = None
        if not is_result(result):
            raise UserError(f"{path}: line {number} is not a result; write the file again with `report --summary`")
        results.append(result)
    return _grouped(results)


def merged(kept: Results, found: Results) -> Results:
    """Both; of a cell and seed that are in both, the one of `found`."""
    runs = {(name, run["seed"]): run for results in (kept, found) for name in results for run in results[name]}
    return _grouped(runs.values())


def _grouped(results: Iterable[Any]) -> Results:
    groups: Results = defaultdict(list)
    for result in results:
        groups[result["cell"]].append(result)
    return {name: sorted(groups[name], key=lambda result: result["seed"]) for name in sorted(groups)}
