"""`report`: tables of finished runs, computed from their result files alone."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from app.cli import UserError
from app.runs import finished_runs

Runs = dict[str, dict[str, list[dict[str, Any]]]]
"""Results by `dataset/architecture` and scheme."""

Rows = list[list[str]]
"""A table: its header, then its rows."""

EXACTNESS: dict[str, tuple[str, Callable[[Iterable[int]], int]]] = {
    "codes": ("codes", sum),
    "differ": ("codes_differing", sum),
    "largest": ("largest_difference", max),
    "predictions": ("predictions", sum),
    "differ ": ("predictions_differing", sum),
    "beyond margin": ("margin_violations", sum),
}
"""Columns of the exactness table: the key in a result, and how the seeds' figures become one."""


def collect(root: Path) -> Runs:
    """All results below `root`."""
    table: Runs = defaultdict(lambda: defaultdict(list))
    for _, result in finished_runs(root):
        row, _, scheme = result["cell"].rpartition("/")
        table[row][scheme].append(result)
    return table


def mean_and_deviation(values: list[float], scale: float = 100.0) -> str:
    """`mean +- sample deviation (n)`, per cent by default."""
    deviation = f" +- {scale * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{scale * mean(values):.1f}{deviation} ({len(values)})"


def accuracy_rows(runs: Runs) -> Rows:
    """Test accuracy in per cent at the epoch chosen on validation, a column per scheme."""
    schemes = sorted({scheme for row in runs.values() for scheme in row}, key=lambda s: (s != "fp32", s))
    return [["dataset/architecture", *schemes]] + [
        [row, *(_cell(cells.get(scheme, [])) for scheme in schemes)] for row, cells in runs.items()
    ]


def _cell(results: list[dict[str, Any]]) -> str:
    return mean_and_deviation([r["metrics"]["test/accuracy"] for r in results]) if results else "-"


def exactness_rows(runs: Runs) -> Rows:
    """Integer program against trained model, over the seeds of a cell."""
    rows = [["cell", "runs", *EXACTNESS]]
    for row, cells in runs.items():
        for scheme, results in cells.items():
            exact = [r["exactness"] for r in results if r["exactness"]]
            if exact:
                figures = [f"{over(e[key] for e in exact):,}" for key, over in EXACTNESS.values()]
                rows.append([f"{row}/{scheme}", str(len(exact)), *figures])
    return rows


def rich_table(title: str, rows: Rows) -> Table:
    """For the screen."""
    table = Table(title=title)
    for i, column in enumerate(rows[0]):
        table.add_column(column, no_wrap=i == 0, justify="left" if i == 0 else "right")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown(title: str, rows: Rows) -> str:
    """For a document."""
    header, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"**{title}**", "", header, "|---" * len(rows[0]) + "|", *body, ""])


def report(options: argparse.Namespace, rest: list[str]) -> int:
    """The command."""
    runs = collect(Path(options.runs_root))
    if not runs:
        raise UserError(f"--runs-root {options.runs_root}: no finished runs below this folder")
    tables = {
        "Test accuracy %, mean +- deviation (seeds)": accuracy_rows(runs),
        "Integer program against evaluation of the trained model": exactness_rows(runs),
    }
    console = Console()
    for title, rows in tables.items():
        if options.format == "markdown":
            print(markdown(title, rows))
        else:
            console.print(rich_table(title, rows))
    return 0
