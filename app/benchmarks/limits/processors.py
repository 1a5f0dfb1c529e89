"""`benchmark processors`: times the engine's kernels as compiled for several kinds of processor, on this one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from llvmlite import binding
from rich.table import Table

from app.benchmarks.command import check_names, output_of, write_figures
from app.benchmarks.limits.rounds import one_round, prepare
from app.benchmarks.processes import OwnProcess
from app.benchmarks.workloads import WORKLOADS, Inputs, load_inputs, root_of
from app.cli.console import standard_output
from app.engine.simd.target import NEON, X86
from app.runs.timing import processor

SSE = ("sse2", "ssse3", "sse4.1")
AVX2 = (*SSE, "avx", "avx2", "fma")
AVX512 = (*AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl")

X86_SETS: Mapping[str, Sequence[str]] = {
    "AVX-512 with VNNI": (*AVX512, "avx512vnni"),
    "AVX-512": AVX512,
    "AVX2 with VNNI": (*AVX2, "avxvnni"),
    "AVX2": AVX2,
    "SSE4.1": SSE,
    "SSE2": ("sse2",),
}
ARM_SETS: Mapping[str, Sequence[str]] = {
    "NEON with I8MM": ("neon", "dotprod", "i8mm"),
    "NEON with DOTPROD": ("neon", "dotprod"),
    "NEON": ("neon",),
}
"""Instruction sets by kind of processor, the fastest first."""

PLAIN = "plain loops"


def benchmark_processors(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table, optionally writes JSON."""
    output = output_of(options)
    check_names("benchmark processors", [options.workload], WORKLOADS)
    title, inputs = load_inputs(options.workload, root_of(options.data_root, [options.workload]))
    rows = measure(inputs, options.threads, options.repeats)
    console = standard_output()
    console.print(processors_table(title, rows))
    console.print(processor(), highlight=False)
    if output:
        write_figures(output, {"workload": title, "threads": options.threads, "rows": rows}, console)
    return 0


def kinds_of_processor() -> dict[str, dict[str, str]]:
    """Returns the environments that make numba compile for each kind of processor that this one can stand in for.

    Plain loops are compiled for the least of them, which would have nothing else.
    """
    present, known = binding.get_host_cpu_features(), X86_SETS if X86 else ARM_SETS if NEON else {}
    found = {
        name: {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ",".join(f"+{each}" for each in sets)}
        for name, sets in known.items()
        if all(present.get(each, False) for each in sets)
    }
    least = list(found.values())[-1:]
    return {**found, PLAIN: {**(least[0] if least else {}), "DEGREE_QUANT_SIMD": "0"}}


def measure(inputs: Inputs, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Times kernels for each kind of processor, each in a process of its own; the processes take turns.

    Says on standard error how far it is.

    Returns:
        For each kind of `processor` and each kernel: its `name`, `rate` by its fastest call, `unit`, `fraction` of
        its limit (see `roofline.measure`) and `gain`, its rate over that of plain loops.
    """
    edges, work = inputs.edge_index.numpy(), {}
    with ExitStack() as running:
        kinds = {name: running.enter_context(OwnProcess(kind)) for name, kind in kinds_of_processor().items()}
        for name, process in kinds.items():
            start = time.perf_counter()
            work[name] = process.call(prepare, len(inputs.x), edges, threads)
            print(f"{name}: ready after {time.perf_counter() - start:.1f} s", file=sys.stderr)
        fastest: dict[str, dict[str, float]] = {}
        for number in range(repeats):
            print(f"round {number + 1} of {repeats}", file=sys.stderr)
            for name, process in kinds.items():
                seconds = process.call(one_round)
                best = fastest.setdefault(name, seconds)
                fastest[name] = {kernel: min(best[kernel], seconds[kernel]) for kernel in seconds}
    rates = {name: {each: work[name][each][0] / fastest[name][each] for each in work[name]} for name in kinds}
    return [
        {
            "processor": name, "name": kernel, "rate": rates[name][kernel] / 1e9, "unit": unit,
            "fraction": rates[name][kernel] / rates[name][limit], "limit": limit,
            "gain": rates[name][kernel] / rates[PLAIN][kernel],
        }
        for name in kinds for kernel, (_, unit, limit) in work[name].items() if limit is not None
    ]  # fmt: skip


def processors_table(workload: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of `measure` for the screen."""
    table = Table(title=f"kernels on {workload}, by the processor that they were compiled for")
    for column in ("compiled for", "kernel", "rate", "of its limit", "of plain loops"):
        table.add_column(column, justify="left" if column in ("compiled for", "kernel") else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["processor"], row["name"], f"{row['rate']:.1f} {row['unit']}",
            f"{100 * row['fraction']:.0f} %", f"{row['gain']:.1f}x",
        )  # fmt: skip
    return table
