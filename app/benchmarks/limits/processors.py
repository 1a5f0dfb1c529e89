"""`benchmark processors`: times the engine's kernels as compiled for several kinds of processor, on this one."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from llvmlite import binding
from rich.table import Table

from app.benchmarks.command import check_names, output_of, write_figures
from app.benchmarks.limits import roofline
from app.benchmarks.limits.roofline import Timed
from app.benchmarks.workloads import WORKLOADS, load_inputs
from app.cli.console import standard_output
from app.engine.simd.target import NEON, X86
from app.engine.workers import Workers
from app.runs.timing import processor
from datamodules.folders import data_root

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
KERNELS = ("INT8 linear", "INT8 sum", "INT8 weighted sum")

_timed: dict[str, Timed] = {}
"""In a process of `compiled_for`: what it times."""


def benchmark_processors(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table, optionally writes JSON."""
    output = output_of(options)
    check_names("benchmark processors", [options.workload], WORKLOADS)
    rows = measure(options.workload, data_root(options.data_root), options.threads, options.repeats)
    console = standard_output()
    console.print(processors_table(options.workload, rows))
    console.print(processor(), highlight=False)
    if output:
        write_figures(output, {"workload": options.workload, "threads": options.threads, "rows": rows}, console)
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


def measure(workload: str, root: Path, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Times kernels for each kind of processor, each in a process of its own; the processes take turns.

    Returns:
        For each kind of `processor` and each kernel: its `name`, `rate` by its fastest call, `unit`, `fraction` of
        its limit (see `roofline.measure`) and `gain`, its rate over that of plain loops.
    """
    with ExitStack() as running:
        kinds = {name: running.enter_context(compiled_for(kind)) for name, kind in kinds_of_processor().items()}
        work = {name: process.submit(_prepare, workload, root, threads).result() for name, process in kinds.items()}
        fastest: dict[str, dict[str, float]] = {}
        for _ in range(repeats):
            for name, process in kinds.items():
                seconds = process.submit(_one_round).result()
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


@contextmanager
def compiled_for(kind: Mapping[str, str]) -> Iterator[ProcessPoolExecutor]:
    """A process whose kernels are compiled with these variables in its environment."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        with patch.dict(os.environ, kind):
            process.submit(os.getpid).result()  # starts it
        yield process


def _prepare(workload: str, root: Path, threads: int) -> dict[str, tuple[float, str, str | None]]:
    """Makes the calls, makes each once, and returns the work, unit and limit of each."""
    _, inputs = load_inputs(workload, root)
    cached = {"INT8 in cache": roofline.product_in_cache(threads)}
    everything = cached | roofline.kernels_on(inputs.graph, Workers(threads))
    limits = [everything[name].limit for name in KERNELS]
    _timed.update((name, timed) for name, timed in everything.items() if name in KERNELS or name in limits)
    _one_round()
    return {name: (timed.work, timed.unit, timed.limit) for name, timed in _timed.items()}


def _one_round() -> dict[str, float]:
    """Makes every call once and returns the seconds that it took."""
    seconds: dict[str, float] = {}
    for name, timed in _timed.items():
        start = time.perf_counter()
        timed.call()
        seconds[name] = time.perf_counter() - start
    return seconds


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
