"""`benchmark scale`: measures training on a graph whole and in parts, and inference, each cell in a fresh process."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from app.benchmarks import memory
from app.benchmarks.command import output_of, write_figures
from app.benchmarks.network_memory import in_fresh_process
from app.benchmarks.scale.measure import measured
from app.benchmarks.scale.page import figures_of, page_of, title_of
from app.cli.console import standard_output
from app.cli.output import output_file
from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.experiment import experiments
from app.runs.timing import processor


def benchmark_scale(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints a table for every cell, optionally writes JSON and a page.

    Raises:
        UserError: for a cell that is not one graph in parts, or where the memory of a process cannot be measured.
    """
    memory.own()  # where it cannot be measured, this says so before anything is loaded
    output = output_of(options)
    page = output_file(options.page, "--page") if options.page else None
    sizes = [size_words(size) for size in options.size] or [[]]
    console, results = standard_output(), []
    for words in sizes:
        for experiment in experiments(options, [*overrides, *words]):
            found = in_fresh_process(measured, experiment, options.threads)
            if found is None:
                raise UserError(
                    f"{experiment.name}: its process was killed; more memory or fewer nodes (data.num_nodes)"
                )
            if "refused" in found:
                raise UserError(found["refused"])
            results.append(found)
            console.print(scale_table(found))
            if page:  # at once: the larger ones take long
                write_atomically(page, page_of(results, command_of(options, overrides), options.threads))
    console.print(f"{processor()}, {options.threads} thread(s)", highlight=False)
    if output:
        write_figures(output, {"results": results, "threads": options.threads}, console)
    if page:
        console.print(f"page in {page}", highlight=False, soft_wrap=True)
    return 0


def size_words(size: tuple[int, int]) -> list[str]:
    """The settings of a generated graph of so many nodes, in so many parts."""
    nodes, parts = size
    return [f"--data.num_nodes={nodes}", f"--data.parts={parts}"]


def command_of(options: argparse.Namespace, overrides: Sequence[str]) -> str:
    """What was typed behind `benchmark scale`, one option after another."""
    cells = [word for cell in options.cell for word in ("--cell", cell)]
    sizes = [word for nodes, parts in options.size for word in ("--size", f"{nodes}:{parts}")]
    return shlex.join([*cells, *overrides, *sizes, "--threads", str(options.threads)])


def scale_table(result: Mapping[str, Any]) -> Table:
    """The figures of a cell for the screen."""
    table = Table("", "seconds", "of a core", "MB", title=f"{result['cell']}: {title_of(result)}")
    for row in result["rows"]:
        table.add_row(row["name"], *figures_of(row))
    return table
