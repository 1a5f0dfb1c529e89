"""`benchmark latency`: the engine against PyG and torch on two-layer networks, interleaved in one run."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from app.benchmarks import memory, roofline
from app.benchmarks.candidates import (
    ALL,
    NETWORKS,
    OWN,
    PEERS,
    WIDTH,
    Inputs,
    check_names,
    choice,
    network_of,
    workloads,
)
from app.benchmarks.timing import interleaved, processor
from app.benchmarks.workloads import superpixels
from app.cli.console import standard_output
from app.cli.output import output_file
from app.engine import Executable, files
from app.engine.compilation import compile_note
from app.engine.files import write_atomically
from app.runs.provenance import versions

SHARE = 0.5
"""Of the memory that is free: a peer that would take more is left out, and the table says so."""


def benchmark_latency(options: argparse.Namespace, rest: list[str]) -> int:
    """The command: a table for every workload, optionally JSON."""
    output = output_file(options.output) if options.output else None
    picture = output_file(options.plot, "--plot") if options.plot else None
    plot = import_module("app.reports.latency_plot") if picture else None
    check_names("benchmark latency", options, ALL)
    root = Path(options.data_root or os.environ.get("DEGREE_QUANT_DATA", "data"))
    console, results, reached, numbers = standard_output(), [], [], sorted(set(options.threads or [1]))
    tell = partial(console.print, highlight=False, soft_wrap=True)
    for title, inputs in workloads(options.workload or ["cifar10", "zinc"], root, tell):
        for network in options.network or NETWORKS:
            rows = measure(network, inputs, numbers, options.repeats)
            result = {"workload": title, "network": network, "nodes": len(inputs.x), "edges": inputs.num_edges}
            result["rows"] = rows
            console.print(latency_table(result))
            results.append(result)
        rates = [rate for number in numbers for rate in roofline.measure(inputs.graph, number, options.repeats)]
        console.print(roofline.roofline_table(title, rates))
        reached.append({"workload": title, "rates": rates})
    exact = {name: codes_differing(name) for name in options.network or NETWORKS}
    console.print(f"codes that differ from the reference executor: {exact}", highlight=False)
    console.print(f"{processor()}; {compile_note()}", highlight=False)
    if output:
        about = {"processor": processor(), "cores": os.cpu_count(), "versions": versions(), "codes_differing": exact}
        write_atomically(output, json.dumps({"results": results, "roofline": reached} | about, indent=2) + "\n")
        console.print(f"figures in {output}", highlight=False, soft_wrap=True)
    if picture and plot:
        files.write_atomically(picture, plot.png(plot.speedups(results)))
        console.print(f"plot in {picture}", highlight=False, soft_wrap=True)
    return 0


def measure(name: str, inputs: Inputs, threads: list[int], repeats: int) -> list[dict[str, Any]]:
    """A row for every candidate and number of threads: milliseconds, bytes of constants."""
    limit, calls, constants = SHARE * memory.available(), {}, {}
    for number in threads:
        for candidate, build in choice(name).items():
            if candidate not in PEERS or PEERS[candidate].needs(name) * inputs.num_edges < limit:
                calls[candidate, number], constants[candidate] = build(inputs, number)
    rows: list[dict[str, Any]] = [
        {"name": key[0], "threads": key[1], **asdict(timing), "constant_bytes": constants[key[0]]}
        for key, timing in interleaved(calls, repeats, warmup=1).items()
    ]
    return [row | {"ratios": ratios(row, rows)} for row in rows]


def codes_differing(name: str) -> int:
    """Values on a small workload, over all ops at both bits, that differ between compiled kernels and reference."""
    nodes, edges = superpixels(graphs=3, seed=1)
    x = np.random.default_rng(1).normal(size=(nodes, WIDTH)).astype(np.float32)
    differing = 0
    for bits in (8, 4):
        program = network_of(name, bits).lower()
        expected = Executable(program, "reference").trace(x, edges)
        got = Executable(program).trace(x, edges)
        differing += sum(int((got[key] != value).sum()) for key, value in expected.items() if value.dtype.kind in "iu")
    return differing


def latency_table(result: Mapping[str, Any]) -> Table:
    """The rows of a result, and what its references (`references`) take compared with each."""
    title = f"{result['network']} on {result['workload']}: {result['nodes']:,} nodes, {result['edges']:,} edges"
    table = Table(title=title)
    columns = ["", "threads", "fastest ms", "median ms", *(f"{name} / this" for name in REFERENCES)]
    for column in columns:
        table.add_column(column.replace(" ", "\n"), justify="right" if column else "left", no_wrap=True)
    for row in result["rows"]:
        ratios = [row["ratios"][name] for name in REFERENCES]
        table.add_row(
            row["name"], str(row["threads"]), f"{row['fastest']:.2f}", f"{row['median']:.2f}",
            *(f"{ratio:.1f}x" if ratio else "not run" for ratio in ratios),
        )  # fmt: skip
    return table


REFERENCES: Mapping[str, Callable[[str], bool]] = {
    "PyG eager": lambda name: name == "PyG eager",
    "best library FP32": lambda name: name != OWN and not name.startswith("INT"),
    OWN: lambda name: name == OWN,
}
"""What a row is compared with: the fastest of the rows with as many threads whose names belong to it."""


def ratios(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """How many times as long as `row` each of REFERENCES takes, by the fastest calls; None where it was not run."""
    found: dict[str, float | None] = {}
    for reference, belongs in REFERENCES.items():
        times = [other["fastest"] for other in rows if other["threads"] == row["threads"] and belongs(other["name"])]
        found[reference] = min(times) / row["fastest"] if times else None
    return found
