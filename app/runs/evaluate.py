"""Runs `validate` and `test` on trained runs."""

from __future__ import annotations

import argparse

from rich.table import Table

from app.cli.console import standard_output
from app.config.suggestions import errors_in_one_line
from app.runs.loading import trained_runs


def validate(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints validation metrics of the best checkpoints."""
    return _print_metrics(options, overrides, "validate")


def test(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints test metrics of the best checkpoints."""
    return _print_metrics(options, overrides, "test")


def _print_metrics(options: argparse.Namespace, overrides: list[str], method: str) -> int:
    """Prints a row per run and a column for every metric; what a run does not measure is empty."""
    measured: list[tuple[str, int, dict[str, float]]] = []
    for name, seed, built in trained_runs(options, overrides):
        with errors_in_one_line():
            (metrics,) = getattr(built.trainer, method)(built.model, built.datamodule, verbose=False)
        if built.trainer.is_global_zero:
            measured.append((name, seed, metrics))
    if measured:
        columns = list(dict.fromkeys(key for _, _, metrics in measured for key in metrics))
        table = Table("cell", "seed", *columns)
        for name, seed, metrics in measured:
            table.add_row(name, str(seed), *(f"{metrics[key]:.4f}" if key in metrics else "" for key in columns))
        standard_output().print(table)
    return 0
