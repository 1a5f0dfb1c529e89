"""`report`: a table of finished runs, computed from their result files alone."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from app.cli import UserError
from app.runs import finished_runs

Runs = dict[str, dict[str, list[dict[str, Any]]]]
"""Results by `dataset/architecture` and scheme."""


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


def accuracy_table(runs: Runs) -> Table:
    """Test accuracy in per cent at the epoch chosen on validation, a column per scheme."""
    schemes = sorted({scheme for row in runs.values() for scheme in row}, key=lambda s: (s != "fp32", s))
    table = Table(title="Test accuracy %, mean +- deviation (seeds)")
    for column in ("dataset/architecture", *schemes):
        table.add_column(column, no_wrap=True)
    for row, cells in runs.items():
        table.add_row(row, *(_cell(cells.get(scheme, [])) for scheme in schemes))
    return table


def _cell(results: list[dict[str, Any]]) -> str:
    return mean_and_deviation([r["metrics"]["test/accuracy"] for r in results]) if results else "-"


def exactness_table(runs: Runs) -> Table:
    """Integer program against trained model, summed over seeds."""
    table = Table(title="Integer program against evaluation of the trained model")
    table.add_column("cell", no_wrap=True)
    for column in ("runs", "codes", "differ", "largest", "predictions", "differ", "beyond margin"):
        table.add_column(column, justify="right")
    keys = ("codes", "codes_differing", "largest_difference", "predictions", "predictions_differing",
            "margin_violations")  # fmt: skip
    for row, cells in runs.items():
        for scheme, results in cells.items():
            exact = [r["exactness"] for r in results if r["exactness"]]
            if exact:
                figures = [(max if key == "largest_difference" else sum)(e[key] for e in exact) for key in keys]
                table.add_row(f"{row}/{scheme}", str(len(exact)), *(f"{figure:,}" for figure in figures))
    return table


def report(options: argparse.Namespace, rest: list[str]) -> int:
    """The command."""
    runs = collect(Path(options.runs_root))
    if not runs:
        raise UserError(f"--runs-root {options.runs_root}: no finished runs below this folder")
    console = Console()
    console.print(accuracy_table(runs))
    console.print(exactness_table(runs))
    return 0
