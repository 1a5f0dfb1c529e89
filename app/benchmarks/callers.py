"""`benchmark callers`: how many calls a second one program answers to one thread, and to several at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from threading import Barrier, Thread
from time import perf_counter, process_time
from typing import Any, NamedTuple

from rich.table import Table

from app.benchmarks.command import check_names, output_of, write_figures
from app.benchmarks.networks import calibrated_network
from app.benchmarks.peers.registry import NETWORKS
from app.benchmarks.workloads import ALL, WORKLOADS, Inputs, each_inputs, root_of
from app.cli.console import standard_output
from app.engine import Executable, workers
from app.engine.compilation import compile_note
from app.runs.timing import processor

DEFAULT_WORKLOADS = ("molecule", "molecules_64")
DEFAULT_CALLERS = (1, 2, 8)

PYTHON = "a loop in Python"

ROUND = 0.04
"""Seconds for which each number of callers calls in each round: long beside what threads wait for each other, and short
beside what a busy machine changes, which both parts of a ratio are to see."""


class Way(NamedTuple):
    """What calls do with the GIL, and up to which work they keep it: see `workers.SHORT`."""

    name: str
    short: int


KEPT, GIVEN_UP, AS_IT_IS = Way("kept", 1 << 62), Way("given up", 0), Way("as it is", workers.SHORT)


class Rate(NamedTuple):
    """Calls of several threads together.

    Attributes:
        second: calls a second.
        processor_second: calls for every second that a core works for this process.
    """

    second: float
    processor_second: float


def benchmark_callers(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table for every workload, optionally writes JSON."""
    output, console, results = output_of(options), standard_output(), []
    check_names("benchmark callers", options.workload, [*WORKLOADS, ALL])
    check_names("benchmark callers", options.network, NETWORKS)
    counts = sorted({1, *(options.callers or DEFAULT_CALLERS)})
    ways = (AS_IT_IS, KEPT, GIVEN_UP) if options.gil else (AS_IT_IS,)
    workloads = options.workload or DEFAULT_WORKLOADS
    root = root_of(options.data_root, workloads)
    for title, inputs in each_inputs(workloads, root, console.print):
        rows = [
            row
            for name in options.network or NETWORKS
            for row in measure(name, inputs, counts, options.repeats, ways=ways)
        ]
        rows += in_turns(PYTHON, count, counts, options.repeats)
        size = {"nodes": len(inputs.x), "edges": inputs.num_edges}
        results.append({"workload": title, **size, "rows": rows})
        console.print(result_table(results[-1]))
    console.print(f"{processor()}; {compile_note()}", highlight=False, soft_wrap=True)
    if output:
        write_figures(output, {"results": results}, console)
    return 0


def measure(
    network: str, inputs: Inputs, counts: Sequence[int], repeats: int, *, ways: Sequence[Way] = (AS_IT_IS,)
) -> list[dict[str, Any]]:
    """Returns the rows of a network: every call gets features and edges, and builds the graph, as in a service.

    The program has one thread.
    """
    program, x, edges = Executable(calibrated_network(network, 8).lower()), inputs.x.numpy(), inputs.edge_index.numpy()
    return in_turns(network, lambda: program.run(x, edges), counts, repeats, ways=ways)


def in_turns(
    name: str, call: Callable[[], object], counts: Sequence[int], repeats: int, *, ways: Sequence[Way] = (AS_IT_IS,)
) -> list[dict[str, Any]]:
    """Returns, for every way and number of callers, calls a second and how many times those of one caller as it is.

    Rates are medians over rounds, in each of which all take turns; so are their ratios. `of_processor` is the ratio of
    calls for every second of a core, which other work on the machine changes less.
    """
    rates: dict[tuple[Way, int], list[Rate]] = {}
    for number in range(-1, repeats):
        for way in ways:
            with keeping_gil(way):
                for callers in counts:
                    found = rate(call, callers, seconds=ROUND)
                    if number >= 0:  # the first round warms up
                        rates.setdefault((way, callers), []).append(found)
    one = rates[AS_IT_IS, 1]
    return [
        {"network": name, "gil": way.name, "callers": callers, "rate": median(each.second for each in found),
         "of_one": median(a.second / b.second for a, b in zip(found, one, strict=True)),
         "of_processor": median(a.processor_second / b.processor_second for a, b in zip(found, one, strict=True))}
        for (way, callers), found in rates.items()
    ]  # fmt: skip


def count() -> int:
    """Python alone, for about as long as a network takes on a molecule: what threads lose as they hand over the GIL."""
    return sum(number * number for number in range(1_000))


@contextmanager
def keeping_gil(way: Way) -> Iterator[None]:
    """Lets calls do in another way what they do with the GIL."""
    before, workers.SHORT = workers.SHORT, way.short
    try:
        yield
    finally:
        workers.SHORT = before


def rate(call: Callable[[], object], callers: int, *, seconds: float) -> Rate:
    """Returns how many calls several threads make together.

    They begin at the same time, which the last of them to arrive writes down: this thread gets the GIL late.
    """
    made, ends, begun, busy = [0] * callers, [0.0] * callers, [0.0], [0.0]

    def begin() -> None:
        begun[0], busy[0] = perf_counter(), process_time()

    together = Barrier(callers, begin)

    def work(number: int) -> None:
        together.wait()
        until = begun[0] + seconds
        while (now := perf_counter()) < until:
            call()
            made[number] += 1
        ends[number] = now

    threads = [Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Rate(sum(made) / (max(ends) - begun[0]), sum(made) / max(process_time() - busy[0], 1e-9))


def result_table(result: dict[str, Any]) -> Table:
    """The rows of a workload: a line for every network and way, with columns for every number of callers."""
    counts = sorted({row["callers"] for row in result["rows"]})
    title = f"{result['workload']}: {result['nodes']:,} nodes, {result['edges']:,} edges, calls a second"
    table = Table(title=title, caption="n / 1, a core: calls for every second of a core, n callers against one")
    of_counts = [f"{n} caller{'s' * (n > 1)}" for n in counts]
    ratios = [column for n in counts[1:] for column in (f"{n} / 1", f"{n} / 1, a core")]
    for name in ("network", "GIL", *of_counts, *ratios):
        table.add_column(
            name.replace(", ", ",\n"), justify="left" if name in ("network", "GIL") else "right", no_wrap=True
        )
    lines: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in result["rows"]:
        lines.setdefault((row["network"], row["gil"]), {})[row["callers"]] = row
    for (network, way), line in lines.items():
        rates = (f"{line[n]['rate']:,.0f}" for n in counts)
        found = (f"{line[n][kind]:.2f}x" for n in counts[1:] for kind in ("of_one", "of_processor"))
        table.add_row(network, way, *rates, *found)
    return table
