"""What `benchmark latency --output` measured, as a table of a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.reports.rows import Rows


def read_latency(path: Path) -> dict[str, Any]:
    """Reads a JSON file of `benchmark latency --output`.

    Raises:
        UserError: if it holds anything else.
    """
    try:
        measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        latency_table(measured)
    except (ValueError, LookupError, TypeError):
        raise UserError(f"--latency {path}: not figures of `train.py benchmark latency --output`") from None
    return measured


def latency_table(measured: dict[str, Any]) -> Rows:
    """A row for every workload, network, candidate and number of threads; the ratio is to PyG on as many threads."""
    rows = [["workload", "network", "", "threads", "fastest ms", "PyG eager / this"]]
    for result in measured["results"]:
        for row in result["rows"]:
            ratio = row["ratios"]["PyG eager"]
            numbers = str(row["threads"]), f"{row['fastest']:.2f}", "" if ratio is None else f"{ratio:.2f}"
            rows.append([result["workload"], result["network"], row["name"], *numbers])
    return rows


def latency_table_title(measured: dict[str, Any]) -> str:
    """Returns the title of the table, which says on which machine it was measured."""
    return f"Latency of one forward, two layers of width 128, on {measured['processor']}"
