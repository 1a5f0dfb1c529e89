"""`benchmark scale`: measures training on a graph whole and in parts, and inference, each cell in a fresh process."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from app.benchmarks import memory
from app.benchmarks.command import output_of, write_figures
from app.benchmarks.network_memory import in_fresh_process
from app.benchmarks.scale.measure import measured
from app.cli.console import standard_output
from app.errors import UserError
from app.runs.experiment import experiments
from app.runs.timing import processor


def benchmark_scale(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints a table for every cell, optionally writes JSON.

    Raises:
        UserError: for a cell that is not one graph in parts, or where the memory of a process cannot be measured.
    """
    memory.own()  # where it cannot be measured, this says so before anything is loaded
    output = output_of(options)
    console, results = standard_output(), []
    for experiment in experiments(options, overrides):
        found = in_fresh_process(measured, experiment, options.threads)
        if found is None:
            raise UserError(f"{experiment.name}: its process was killed; more memory or fewer nodes (data.num_nodes)")
        if "refused" in found:
            raise UserError(found["refused"])
        results.append(found)
        console.print(scale_table(found))
    console.print(f"{processor()}, {options.threads} thread(s)", highlight=False)
    if output:
        write_figures(output, {"results": results, "threads": options.threads}, console)
    return 0


def scale_table(result: Mapping[str, Any]) -> Table:
    """The figures of a cell for the screen."""
    sizes = f"{result['nodes']:,} nodes, {result['edges']:,} edges, {result['features']} features"
    table = Table("", "seconds", "MB", title=f"{result['cell']}: {sizes}, {result['parts']} parts")
    for row in result["rows"]:
        table.add_row(row["name"], f"{row['seconds']:.2f}", f"{row['bytes'] / 1e6:,.0f}")
    return table
