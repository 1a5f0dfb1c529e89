"""Runs `validate` and `test` on trained runs."""

from __future__ import annotations

import argparse

from rich.table import Table

from app.cli.console import standard_output
from app.runs.loading import trained_runs


def validate(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints validation metrics of the best checkpoints."""
    return _print_metrics(options, overrides, "validate")


def test(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints test metrics of the best checkpoints."""
    return _print_metrics(options, overrides, "test")


def _print_metrics(options: argparse.Namespace, overrides: list[str], method: str) -> int:
    table: Table | None = None
    for name, seed, built in trained_runs(options, overrides):
        (metrics,) = getattr(built.trainer, method)(built.model, built.datamodule, verbose=False)
        if not built.trainer.is_global_zero:
            continue
        if table is None:
            table = Table("cell", "seed", *metrics)
        table.add_row(name, str(seed), *(f"{value:.4f}" for value in metrics.values()))
    if table is not None:
        standard_output().print(table)
    return 0
