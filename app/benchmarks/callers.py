"""`benchmark callers`: how many calls a second one program answers to one thread, and to several at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from threading import Barrier, Thread
from time import perf_counter
from typing import Any, NamedTuple

from rich.table import Table

from app.benchmarks.command import check_names, output_of, write_figures
from app.benchmarks.networks import calibrated_network
from app.benchmarks.peers.registry import NETWORKS
from app.benchmarks.workloads import ALL, WORKLOADS, Inputs, each_inputs
from app.cli.console import standard_output
from app.engine import Executable, workers
from app.engine.compilation import compile_note
from app.runs.timing import processor
from datamodules.folders import data_root

DEFAULT_WORKLOADS = ("molecule", "molecules_4", "molecules_16", "molecules_64")
DEFAULT_CALLERS = (1, 2, 8)

ROUND = 0.25
"""Seconds for which each number of callers calls in each round."""


class Way(NamedTuple):
    """What calls do with the GIL, and up to which work they keep it: see `workers.SHORT`."""

    name: str
    short: int


KEPT, GIVEN_UP, AS_IT_IS = Way("kept", 1 << 62), Way("given up", 0), Way("as it is", workers.SHORT)


def benchmark_callers(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table for every workload, optionally writes JSON."""
    output, console, results = output_of(options), standard_output(), []
    check_names("benchmark callers", options.workload, [*WORKLOADS, ALL])
    check_names("benchmark callers", options.network, NETWORKS)
    counts = sorted({1, *(options.callers or DEFAULT_CALLERS)})
    workloads, root = options.workload or DEFAULT_WORKLOADS, data_root(options.data_root)
    for title, inputs in each_inputs(workloads, root, console.print):
        rows = [row for name in options.network or NETWORKS for row in measure(name, inputs, counts, options.repeats)]
        size = {"nodes": len(inputs.x), "edges": inputs.num_edges}
        results.append({"workload": title, **size, "rows": rows})
        console.print(result_table(results[-1]))
    console.print(f"{processor()}; {compile_note()}", highlight=False, soft_wrap=True)
    if output:
        write_figures(output, {"results": results}, console)
    return 0


def measure(network: str, inputs: Inputs, counts: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    """Returns, for every way and number of callers, calls a second and how many times those of one caller as it is.

    Every call gets features and edges, and builds the graph, as in a service; the program has one thread. Rates are
    medians over rounds, in each of which all take turns.
    """
    program, x, edges = Executable(calibrated_network(network, 8).lower()), inputs.x.numpy(), inputs.edge_index.numpy()
    rates: dict[tuple[Way, int], list[float]] = {}
    for number in range(-1, repeats):
        for way in (AS_IT_IS, KEPT, GIVEN_UP):
            with keeping_gil(way):
                for callers in counts:
                    found = rate(lambda: program.run(x, edges), callers, seconds=ROUND)
                    if number >= 0:  # the first round warms up
                        rates.setdefault((way, callers), []).append(found)
    one = rates[AS_IT_IS, 1]
    return [
        {"network": network, "gil": way.name, "callers": callers, "rate": median(found),
         "of_one": median(a / b for a, b in zip(found, one, strict=True))}
        for (way, callers), found in rates.items()
    ]  # fmt: skip


@contextmanager
def keeping_gil(way: Way) -> Iterator[None]:
    """Lets calls do in another way what they do with the GIL."""
    before, workers.SHORT = workers.SHORT, way.short
    try:
        yield
    finally:
        workers.SHORT = before


def rate(call: Callable[[], object], callers: int, *, seconds: float) -> float:
    """Returns how many calls a second several threads make together."""
    made, together = [0] * callers, Barrier(callers + 1)

    def work(number: int) -> None:
        together.wait()
        ends = perf_counter() + seconds
        while perf_counter() < ends:
            call()
            made[number] += 1

    threads = [Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    together.wait()
    begun = perf_counter()
    for thread in threads:
        thread.join()
    return sum(made) / (perf_counter() - begun)


def result_table(result: dict[str, Any]) -> Table:
    """The rows of a workload: a line for every network and way, with two columns for every number of callers."""
    counts = sorted({row["callers"] for row in result["rows"]})
    table = Table(title=f"{result['workload']}: {result['nodes']:,} nodes, {result['edges']:,} edges, calls a second")
    for name in ("network", "GIL", *(f"{n} caller{'s' * (n > 1)}" for n in counts), *(f"{n} / 1" for n in counts[1:])):
        table.add_column(name, justify="left" if name in ("network", "GIL") else "right", no_wrap=True)
    lines: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in result["rows"]:
        lines.setdefault((row["network"], row["gil"]), {})[row["callers"]] = row
    for (network, way), line in lines.items():
        rates = (f"{line[n]['rate']:,.0f}" for n in counts)
        table.add_row(network, way, *rates, *(f"{line[n]['of_one']:.2f}x" for n in counts[1:]))
    return table
