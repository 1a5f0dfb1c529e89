"""`benchmark latency`: times the engine against PyG and torch on two-layer networks, interleaved in one run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple, get_args

import torch
from rich.table import Table

from app.benchmarks.candidates import OWN, PYG_EAGER, NotPreparedError, Prepared, candidates_for
from app.benchmarks.command import check_names, output_of, write_figures
from app.benchmarks.cuda import memory as device_memory
from app.benchmarks.generated_graphs import superpixels
from app.benchmarks.limits import roofline
from app.benchmarks.networks import OF_MOLECULES, calibrated_network, features
from app.benchmarks.peers.registry import NETWORKS
from app.benchmarks.workloads import ALL, WORKLOADS, Inputs, each_inputs, root_of
from app.cli.console import standard_output
from app.cli.output import output_file
from app.config.machine import in_words
from app.engine import CPU, Executable
from app.engine.compilation import compile_note
from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.timing import completed, interleaved, processor
from models.quantization.sites import Roundings

SHARE = 0.5
"""Of the memory that is free: a peer that would take more is left out, and the table says so."""

DEFAULT_WORKLOADS = ("cifar10", "zinc")


def benchmark_latency(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints tables for every workload, optionally writes JSON and a plot."""
    output = output_of(options)
    picture = output_file(options.plot, "--plot") if options.plot else None
    plot = import_module("app.reports.plots.latency") if picture else None
    check_names("benchmark latency", options.workload, [*WORKLOADS, ALL])
    check_names("benchmark latency", options.network, [*NETWORKS, *OF_MOLECULES])
    device = device_for(options)
    of_molecules = OF_MOLECULES if set(options.workload) == {"molecule"} else ()
    networks, thread_counts = options.network or [*NETWORKS, *of_molecules], sorted(set(options.threads or [1]))
    workloads, console = options.workload or DEFAULT_WORKLOADS, standard_output()
    report = partial(console.print, highlight=False, soft_wrap=True)
    results, rooflines = [], []
    for title, inputs in each_inputs(workloads, root_of(options.data_root, workloads), report):
        for network in networks:
            rows, absent = measure(
                network, inputs, thread_counts, options.repeats, more=options.libraries, device=device
            )
            for name, why in absent.items():
                report(f"{network} on {title}: {name} is left out: {why}")
            size = {"nodes": len(inputs.x), "edges": inputs.num_edges}
            results.append({"workload": title, "network": network, **size, "rows": rows})
            console.print(result_table(results[-1]))
        if device == CPU:
            rates = [
                rate for threads in thread_counts for rate in roofline.measure(inputs.graph, threads, options.repeats)
            ]
            console.print(roofline.roofline_table(title, rates))
            rooflines.append({"workload": title, "rates": rates})
    exact = {name: codes_differing(name, device) for name in networks}
    report(f"codes that differ from the reference executor: {exact}")
    place = in_words(place_of(device))
    report(f"{processor()}; {compile_note()}" if device == CPU else f"{place}; {processor()}")
    if output:
        about = {"cores": os.cpu_count(), "device": place}
        figures = {"results": results, "roofline": rooflines, "codes_differing": exact, **about}
        write_figures(output, figures, console)
    if picture and plot:
        write_atomically(picture, plot.speedups_png(results))
        report(f"plot in {picture}")
    return 0


def device_for(options: argparse.Namespace) -> str:
    """Returns the device of the engine that is asked for.

    Raises:
        UserError: if there is none, or something that it needs; and for threads, which count on the CPU alone.
    """
    if options.device != CPU and options.threads:
        raise UserError("benchmark latency: --threads counts threads of the CPU; leave it out beside --device cuda")
    try:
        place_of(options.device)
    except ValueError as error:
        raise UserError(f"--{error}") from error
    return str(options.device)


def place_of(device: str) -> torch.device:
    """Returns what torch calls a device of the engine.

    Raises:
        ValueError: if there is none.
    """
    if device == CPU:
        return torch.device(CPU)
    from app.engine.cuda.device import device_of  # needs Triton

    return device_of(device).place


def left_out(network: str, inputs: Inputs, *, more: bool = False, device: str = CPU) -> dict[str, str]:
    """Returns what cannot run a network on inputs, and why; see `candidates_for`."""
    limit = SHARE * device_memory.available(place_of(device))
    candidates = candidates_for(network, more=more, device=device)
    whys = {name: each.why_not(inputs, limit) for name, each in candidates.items()}
    return {name: why for name, why in whys.items() if why is not None}


class Measured(NamedTuple):
    """What a network took on inputs.

    Attributes:
        rows: for all that ran, on all numbers of threads: `name`, `threads`, milliseconds as in `Timing`,
            `constant_bytes`, `ratios` (see `ratios_of`), and `memory`: bytes that a call takes on a GPU at its peak
            beyond what is kept; None on the CPU, where `benchmark memory` measures them.
        left_out: what did not run, and why.
    """

    rows: list[dict[str, Any]]
    left_out: dict[str, str]


def measure(
    network: str,
    inputs: Inputs,
    thread_counts: Sequence[int],
    repeats: int,
    *,
    more: bool = False,
    device: str = CPU,
) -> Measured:
    """Times all that can run a network on all numbers of threads, interleaved; `more`: see `candidates_for`."""
    place, absent = place_of(device), left_out(network, inputs, more=more, device=device)
    inputs = inputs.with_features(features(network, len(inputs.x))).on(place)
    started: dict[tuple[str, int], Prepared] = {}
    for threads in thread_counts:
        for name, candidate in candidates_for(network, more=more, device=device).items():
            if name not in absent:
                try:
                    started[name, threads] = candidate.started(inputs, threads)
                except NotPreparedError as error:
                    absent[name] = str(error)
    calls = {key: completed(each.forward, place) for key, each in started.items() if key[0] not in absent}
    peaks = {key: device_memory.peak_of(call, place) for key, call in calls.items()}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "threads": threads,
            **asdict(timing),
            "constant_bytes": started[name, threads].constant_bytes,
            "memory": peaks[name, threads],
        }
        for (name, threads), timing in interleaved(calls, repeats, warmup=1).items()
    ]
    return Measured([row | {"ratios": ratios_of(row, rows)} for row in rows], absent)


def codes_differing(network: str, device: str = CPU) -> int:
    """Counts codes, over all ops at both bits on a small graph, that kernels compute unlike the reference.

    Of networks of molecules with all roundings and with those that are needed.
    """
    nodes, edges = superpixels(graphs=3, seed=1)
    x = features(network, nodes).numpy()
    differing = 0
    for bits, roundings in product((8, 4), get_args(Roundings) if network in OF_MOLECULES else ("all",)):
        program = calibrated_network(network, bits, roundings).lower()
        expected = Executable(program, "reference").trace(x, edges)
        computed = Executable(program, device=device).trace(x, edges)
        differing += sum(int((computed[k] != value).sum()) for k, value in expected.items() if value.dtype.kind in "iu")
    return differing


REFERENCES: Mapping[str, Callable[[str], bool]] = {
    PYG_EAGER: lambda name: name == PYG_EAGER,
    "best library FP32": lambda name: not name.startswith(("own", "INT")),
    OWN: lambda name: name == OWN,
}
"""What each row is compared with, by heading: the fastest of the rows whose name is accepted."""


def ratios_of(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """How many times as long as `row` each of REFERENCES takes on as many threads, by their fastest calls.

    None stands where the reference was not run.
    """
    found: dict[str, float | None] = {}
    for reference, accepts in REFERENCES.items():
        times = [other["fastest"] for other in rows if other["threads"] == row["threads"] and accepts(other["name"])]
        found[reference] = min(times) / row["fastest"] if times else None
    return found


def result_table(result: Mapping[str, Any]) -> Table:
    """The rows of a network on a workload, with their ratios to REFERENCES."""
    title = f"{result['network']} on {result['workload']}: {result['nodes']:,} nodes, {result['edges']:,} edges"
    table = Table(title=title)
    with_memory = any(row["memory"] is not None for row in result["rows"])
    columns = ["", "threads", "fastest ms", "median ms", *(f"{name} / this" for name in REFERENCES)]
    columns += ["MB"] * with_memory
    for column in columns:
        table.add_column(column.replace(" ", "\n"), justify="right" if column else "left", no_wrap=True)
    for row in result["rows"]:
        ratios = [row["ratios"][name] for name in REFERENCES]
        table.add_row(
            row["name"], str(row["threads"]), f"{row['fastest']:.3f}", f"{row['median']:.3f}",
            *(f"{ratio:.1f}x" if ratio else "not run" for ratio in ratios),
            *([f"{(row['memory'] or 0) / 1e6:,.0f}"] * with_memory),
        )  # fmt: skip
    return table
