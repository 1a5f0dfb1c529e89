"""Results of finished runs, read from run folders or from a summary file, and the score that tables show of a run."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from app.errors import UserError
from app.runs.result import Result, is_result
from app.runs.run_folder import finished_runs

Results = dict[str, list[Result]]
"""Results by the name of their cell (`dataset/architecture/scheme`, with `+variant` where there is one)."""

METRICS = {"accuracy": ("accuracy %", 100.0, 1, 1), "mae": ("MAE", 1.0, 3, -1)}
"""Metric in a result -> its name in tables, factor, decimals; 1 where more is better, -1 where less is."""


@dataclass(frozen=True)
class Score:
    """The metric of a run that tables show, in the unit of tables. `sign`: 1 where more is better, -1 where less is."""

    metric: str
    value: float
    decimals: int
    sign: int

    def summary(self, values: Sequence[float]) -> str:
        """`mean +- sample deviation (n)` of values of this metric."""
        deviation = f" +- {stdev(values):.{self.decimals}f}" if len(values) > 1 else ""
        return f"{mean(values):.{self.decimals}f}{deviation} ({len(values)})"


def score_of(result: Result, split: str = "test") -> Score:
    """Returns the score of a run on a split, at the epoch chosen on validation.

    Raises:
        UserError: if the result has none of the known metrics.
    """
    for key, (metric, factor, decimals, sign) in METRICS.items():
        if f"{split}/{key}" in result["metrics"]:
            return Score(metric, factor * result["metrics"][f"{split}/{key}"], decimals, sign)
    raise UserError(f"{result['cell']} seed {result['seed']}: its result has no {split} metric")


def bits_of(result: Result) -> int | None:
    """Returns the bits of a run, 32 for FP32; of a result that does not record them, those in the scheme's name."""
    if bits := result.get("bits"):
        return int(bits)
    scheme = result["cell"].rpartition("/")[2]
    found = re.match(r"fp(32)\b|.*_int(\d+)\b", scheme)
    return int(found[1] or found[2]) if found else None


def values_by_seed(results: Iterable[Result], split: str = "test") -> dict[int, float]:
    """Returns the value of the score of every seed."""
    return {result["seed"]: score_of(result, split).value for result in results}


def collect(root: Path) -> Results:
    """Reads the results of all finished runs below `root`."""
    return _grouped(result for _, result in finished_runs(root))


def write_lines(results: Results) -> str:
    """Returns results as JSON lines, one a run, from which every table can be computed again."""
    return "".join(json.dumps(result, sort_keys=True) + "\n" for runs in results.values() for result in runs)


def read_lines(path: Path) -> Results:
    """Reads the results in a summary file.

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
    """Joins kept and found results; of a cell and seed that are in both, the found one counts."""
    runs = {(name, run["seed"]): run for results in (kept, found) for name in results for run in results[name]}
    return _grouped(runs.values())


def _grouped(results: Iterable[Result]) -> Results:
    groups: Results = defaultdict(list)
    for result in results:
        groups[result["cell"]].append(result)
    return {name: sorted(groups[name], key=lambda result: result["seed"]) for name in sorted(groups)}
