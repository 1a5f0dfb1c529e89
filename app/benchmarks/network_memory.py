"""`benchmark memory`: measures what forwards add to the resident set, each in a fresh process."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from rich.table import Table

from app.benchmarks import memory
from app.benchmarks.candidates import Call, NotPreparedError, candidates_for
from app.benchmarks.command import check_names, output_of, write_figures
from app.benchmarks.generated_graphs import superpixels
from app.benchmarks.peers.registry import NETWORKS
from app.benchmarks.processes import Arguments, OwnProcess, ProcessLostError, Result
from app.benchmarks.workloads import WORKLOADS, Inputs, load_inputs, root_of
from app.cli.console import standard_output
from app.cli.process import prepare_process
from datamodules.processes import end_with_parent

SHARE = 0.8
"""Of the memory that is free: a peer that would take more is left out, and the table says so."""

DEFAULT_WORKLOADS = ("cifar10",)


def benchmark_memory(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table for every workload and network, optionally writes JSON."""
    memory.peak_of(memory.resident)  # where it cannot be measured, this says so before anything is loaded
    output = output_of(options)
    check_names("benchmark memory", options.workload, WORKLOADS)
    check_names("benchmark memory", options.network, NETWORKS)
    workloads = options.workload or DEFAULT_WORKLOADS
    console, results, root = standard_output(), [], root_of(options.data_root, workloads)
    for workload in workloads:
        for network in options.network or NETWORKS:
            rows = [
                in_fresh_process(growth, name, network, workload, root) or {"name": name}
                for name in candidates_for(network)
            ]
            title = next((row["workload"] for row in rows if "workload" in row), workload)
            results.append({"workload": title, "network": network, "rows": rows})
            console.print(memory_table(results[-1]))
    if output:
        write_figures(output, {"results": results}, console)
    return 0


def in_fresh_process(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result | None:
    """Returns the result of a function in a new process, which ends with this one; None if that process is killed."""
    with OwnProcess() as process:
        try:
            process.call(end_with_parent)
            return process.call(function, *args, **kwargs)
        except ProcessLostError:
            return None


def growth(name: str, network: str, workload: str, root: Path) -> dict[str, Any]:
    """Measures by how many bytes the peak of the resident set grows beyond features and edges.

    Returns:
        `name` of the candidate; title of the `workload`; `first`: growth while the candidate prepares the graph and
        runs once, with its code loaded; `later`: growth when it runs again, with all that it has kept. Neither of
        these where it would take more than SHARE of the memory; nor where it fails, for the reason `why`.
    """
    prepare_process()
    candidate = candidates_for(network)[name]
    try:
        candidate.started(Inputs(*superpixels(graphs=20)), 1)
    except NotPreparedError as error:
        return {"name": name, "workload": workload, "why": str(error)}
    title, inputs = load_inputs(workload, root)
    if not candidate.fits(inputs, SHARE * memory.available()):
        return {"name": name, "workload": title}
    before, forwards = memory.resident(), list[Call]()

    def prepare_and_run() -> None:
        forwards.append(candidate.prepare(inputs, 1).forward)
        forwards[0]()

    first = memory.peak_of(prepare_and_run) - before
    memory.resident()
    return {"name": name, "workload": title, "first": first, "later": memory.peak_of(forwards[0]) - before}


def memory_table(result: Mapping[str, Any]) -> Table:
    """The rows of a network on a workload; the last column compares later calls with INT8."""
    table = Table(title=f"{result['network']} on {result['workload']}: MB beyond features and edges")
    for column in ("", "first call", "later calls", "this / INT8"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    int8 = next((row["later"] for row in result["rows"] if row["name"] == "INT8" and "later" in row), inf)
    for row in result["rows"]:
        if "later" in row:
            cells = f"{row['first'] / 1e6:,.0f}", f"{row['later'] / 1e6:,.0f}", f"{row['later'] / int8:.2f}x"
        else:
            cells = row.get("why", "not run"), "", ""
        table.add_row(row["name"], *cells)
    return table
