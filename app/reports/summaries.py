"""Summary files: results as JSON lines, from which tables are computed without the runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from app.config.settings import settings_hash
from app.errors import UserError
from app.reports.results import Results, grouped, score_of
from app.runs.result import Result, is_result

OF_FOLDERS = ("folder", "settings")
"""Of a result: what summaries leave out."""


def write_lines(results: Results) -> str:
    """Returns results as JSON lines, one a run, from which all tables to read can be computed again."""
    return "".join(json.dumps(as_kept(run), sort_keys=True) + "\n" for runs in results.values() for run in runs)


def as_kept(run: Result) -> Result:
    """Returns what a line keeps of a result: instead of all settings, a hash of them."""
    kept: Result = {k: v for k, v in run.items() if k not in OF_FOLDERS}  # type: ignore[assignment]
    return {**kept, "settings_hash": told} if (told := hash_of(run)) else kept


def hash_of(run: Result) -> str | None:
    """Returns the hash of a run's settings; None of a line that does not tell it."""
    settings = run.get("settings")
    return settings_hash(settings) if settings else run.get("settings_hash")


def read_lines(path: Path) -> Results:
    """Reads the results in a summary file.

    Raises:
        UserError: if it is not text, or a line is not a result.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
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
    return grouped(results)


def merged(kept: Results, found: Results) -> Results:
    """Joins kept and found results; of a cell and seed that are in both, the found one counts."""
    runs = {(name, run["seed"]): run for results in (kept, found) for name in results for run in results[name]}
    return grouped(runs.values())


def check_alike(results: Results, where: str) -> None:
    """Checks that the runs of a cell, which count as seeds of one experiment, have the same settings and metric.

    Lines of older summaries do not tell their settings: beside runs that do, a line on standard error says so.

    Args:
        where: the options that name the results.

    Raises:
        UserError: naming the first cell with runs that differ.
    """
    untold = 0
    for name, runs in results.items():
        hashes = [hash_of(run) for run in runs]
        metrics = {score_of(run).metric for run in runs}
        if len({told for told in hashes if told}) > 1 or len(metrics) > 1:
            differ = "settings" if len(metrics) == 1 else f"metrics ({', '.join(sorted(metrics))})"
            raise UserError(f"{where}: runs of {name} have other {differ} than each other; report them one by one")
        untold += None in hashes and any(hashes)
    if untold:
        print(
            f"{where}: kept results of {untold} cell{'s' * (untold > 1)} do not tell their settings; "
            "they count as having those of the runs beside them",
            file=sys.stderr,
        )
