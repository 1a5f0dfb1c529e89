"""One tidy table of runs: a row a run, a column for everything that is known of it, as plain values."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from app.reports.results import Results, bits_of, collect
from app.reports.rows import Rows
from app.reports.tables import substitute
from app.runs.result import Result, chosen_epoch

Record = dict[str, Any]
"""What is known of a run, by the names of columns."""

FIRST = (
    "run", "cell", "dataset", "architecture", "scheme", "variant", "seed", "bits", "chosen_epoch", "epochs",
    "no_program", "substitute",
)  # fmt: skip
"""The first columns; then come metrics (`test/accuracy`), exactness (`exactness.codes`), settings (`model.lr`)."""


def runs(root: str | Path) -> list[Record]:
    """Returns a record of every finished run below a folder: `pandas.DataFrame(runs("runs"))` is their table."""
    return records(collect(Path(root)))


def records(results: Results, cells: Container[str] | None = None) -> list[Record]:
    """Returns a record of every run, or of those of some cells.

    Metrics are as in `result.json` (accuracies are shares). Settings are all that change what is computed; a run from
    a summary file has none.
    """
    return [record(result) for name in results if cells is None or name in cells for result in results[name]]


def record(result: Result) -> Record:
    """Returns what is known of a run."""
    name, _, scheme = result["cell"].rpartition("/")
    dataset, _, architecture = name.partition("/")
    scheme, _, variant = scheme.partition("+")
    known: Record = {
        "run": result.get("folder"), "cell": result["cell"], "dataset": dataset, "architecture": architecture,
        "scheme": scheme, "variant": variant, "seed": result["seed"], "bits": bits_of(result),
        "chosen_epoch": chosen_epoch(result), "epochs": result.get("epochs"),
        "no_program": result.get("no_program"), "substitute": substitute(result),
    }  # fmt: skip
    known |= result["metrics"]
    for part in ("exactness", "durations"):
        known |= {f"{part}.{key}": value for key, value in (result.get(part) or {}).items()}  # type: ignore[attr-defined]
    return known | {key.replace(".init_args", ""): value for key, value in result.get("settings", {}).items()}


def as_rows(found: list[Record]) -> Rows:
    """Returns records as rows of text; what a run does not have is empty. Columns stand in the order of their kinds."""
    columns = list(FIRST)
    known = list(dict.fromkeys(key for of_run in found for key in of_run))
    columns += [key for key in known if "/" in key]
    for start in ("exactness.", "model.", "data.", ""):
        columns += [key for key in known if key.startswith(start) and key not in columns]
    return [columns, *([_text(of_run.get(column)) for column in columns] for of_run in found)]


def _text(value: Any) -> str:
    return "" if value is None else str(value)
