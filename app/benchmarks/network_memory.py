"""`benchmark memory`: what forwards of PyG, torch and the engine add to the resident set, each in a fresh process."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from math import inf
from pathlib import Path
from typing import Any

from rich.table import Table

from app.benchmarks import memory
from app.benchmarks.candidates import NETWORKS, PEERS, Call, Inputs, check_names, choice, load
from app.benchmarks.timing import processor
from app.benchmarks.workloads import superpixels
from app.cli.console import standard_output
from app.cli.output import output_file
from app.cli.process import prepare_process
from app.engine.files import write_atomically
from app.runs.provenance import versions

SHARE = 0.8
"""Of the memory that is free: a peer that would take more is left out, and the table says so."""


def benchmark_memory(options: argparse.Namespace, rest: list[str]) -> int:
    """The command: a table for every workload and network, optionally JSON."""
    memory.peak_of(memory.settled)  # cannot be measured: said before anything is loaded
    output = output_file(options.output) if options.output else None
    check_names("benchmark memory", options)
    root = Path(options.data_root or os.environ.get("DEGREE_QUANT_DATA", "data"))
    console, results = standard_output(), []
    for workload in options.workload or ["cifar10"]:
        for network in options.network or NETWORKS:
            rows = [in_fresh_process(name, network, workload, root) for name in choice(network)]
            title = next((row["workload"] for row in rows if "workload" in row), workload)
            results.append({"workload": title, "network": network, "rows": rows})
            console.print(memory_table(results[-1]))
    if output:
        about = {"processor": processor(), "versions": versions()}
        write_atomically(output, json.dumps({"results": results} | about, indent=2) + "\n")
        console.print(f"figures in {output}", highlight=False, soft_wrap=True)
    return 0


def in_fresh_process(*arguments: Any) -> dict[str, Any]:
    """`growth`; only the name where the process did not live to tell."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        try:
            return process.submit(growth, *arguments).result()
        except BrokenProcessPool:
            return {"name": arguments[0]}


def growth(name: str, network: str, workload: str, root: Path) -> dict[str, Any]:
    """Bytes by which the peak of the resident set exceeds that before, when features and edges were there.

    `first`: while the candidate prepares the graph and runs once, with its code loaded; `later`: when it runs again,
    with all that it has kept. Neither where it would take more than SHARE of the memory.
    """
    prepare_process()
    small = Inputs(*superpixels(graphs=20))
    choice(network)[name](small, 1)[0]()
    title, inputs = load(workload, root)
    if name in PEERS and PEERS[name].needs(network) * inputs.num_edges > SHARE * memory.available():
        return {"name": name, "workload": title}
    before, calls = memory.settled(), list[Call]()

    def prepare() -> None:
        calls.append(choice(network)[name](inputs, 1)[0])
        calls[0]()

    first = memory.peak_of(prepare) - before
    memory.settled()
    return {"name": name, "workload": title, "first": first, "later": memory.peak_of(calls[0]) - before}


def memory_table(result: Mapping[str, Any]) -> Table:
    """The rows of a result; the last column compares later calls with INT8."""
    table = Table(title=f"{result['network']} on {result['workload']}: MB beyond features and edges")
    for column in ("", "first call", "later calls", "this / INT8"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    int8 = next((row["later"] for row in result["rows"] if row["name"] == "INT8" and "later" in row), inf)
    for row in result["rows"]:
        if "later" in row:
            figures = f"{row['first'] / 1e6:,.0f}", f"{row['later'] / 1e6:,.0f}", f"{row['later'] / int8:.2f}x"
        else:
            figures = "not run", "", ""
        table.add_row(row["name"], *figures)
    return table
