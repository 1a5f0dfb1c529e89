"""Summary files: results as JSON lines, from which tables are computed without the runs."""

from __future__ import annotations

import json
from pathlib import Path

from app.errors import UserError
from app.reports.results import Results, grouped
from app.runs.result import is_result

OF_FOLDERS = ("folder", "settings")
"""Of a result: what summaries leave out."""


def write_lines(results: Results) -> str:
    """Returns results as JSON lines, one a run, from which all tables to read can be computed again."""
    kept = ({k: v for k, v in run.items() if k not in OF_FOLDERS} for runs in results.values() for run in runs)
    return "".join(json.dumps(result, sort_keys=True) + "\n" for result in kept)


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
