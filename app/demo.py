"""Runs `demo`: trains FP32, QAT and Degree-Quant on the embedded data set, and shows them in one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from rich.table import Table

from app.benchmarks.peers.pyg import PyGNetwork, float_bytes
from app.benchmarks.timing import Timing, interleaved, processor
from app.cli.console import standard_output
from app.config.cells import select
from app.engine import Graph, load_program
from app.runs.completion import complete
from app.runs.experiment import Experiment
from app.runs.loading import load_run
from app.runs.run_folder import Run

CELLS = [f"synthetic/gcn/{scheme}" for scheme in ("fp32", "qat_int8", "dq_int8", "qat_int4", "dq_int4")]
REPEATS = 30
"""How often every forward is timed."""


def demo(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command."""
    torch.set_num_threads(1)
    root = Path(options.runs_root)
    console = standard_output()
    runs: dict[str, Run] = {}
    results = {}
    for cell in (cell for pattern in CELLS for cell in select(pattern)):
        experiment = Experiment.of_cell(cell, 0).quiet()
        run = experiment.run_in(root)
        with console.status(f"training {cell}"), run.exclusive():
            complete(experiment, run, overwrite=options.overwrite)
        results[cell.scheme] = run.read_result()
        runs[cell.scheme] = run
        console.print(f"trained {cell}: {results[cell.scheme]['durations']['fit']:.0f} s", highlight=False)
    with console.status("timing"):
        timings = time_forwards(runs)
    table = Table(title="Degree-Quant on the embedded data set (2-layer GCN, 16 hidden)")
    columns = ("scheme", "bits", "accuracy", "bytes", "PyG ms", "integer ms", "speed-up", "agree")
    for column in columns:
        table.add_column(column, justify="left" if column == "scheme" else "right")
    peer = timings["fp32"].median
    for scheme, run in runs.items():
        built = load_run(run)
        accuracy = f"{100 * results[scheme]['metrics']['test/accuracy']:.1f} %"
        name, bits = built.model.scheme.name, str(built.model.scheme.bits)
        exact = results[scheme]["exactness"]
        if exact is None:
            size = float_bytes(built.model.network)
            table.add_row(name, bits, accuracy, f"{size:,}", f"{peer:.2f}", "", "", "")
        else:
            integer = timings[scheme].median
            same = 100 * (1 - exact["predictions_differing"] / exact["predictions"])
            size = load_program(run.program).num_bytes
            table.add_row(
                name,
                bits,
                accuracy,
                f"{size:,}",
                f"{peer:.2f}",
                f"{integer:.2f}",
                f"{peer / integer:.1f}x",
                f"{same:.1f} %",
            )
    console.print(table)
    console.print(
        "accuracy: on the test nodes; bytes: of the model; PyG: stock layers in FP32\n"
        "agree: nodes to which the integer program gives the class the trained model gives\n"
        "latency: one forward on a prepared graph, 1 thread; PyG takes the features dense, the engine as CSR\n"
        f"(from the dense array dq INT8 needs {timings['dense'].median:.2f} ms); {processor()}\n"
        f"TensorBoard: tensorboard --logdir {root / 'synthetic'}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def time_forwards(runs: dict[str, Run]) -> dict[str, Timing]:
    """Times one forward of stock PyG in FP32 and of every integer program, interleaved."""
    built = load_run(runs["fp32"])
    built.datamodule.setup("predict")
    batch = next(iter(built.datamodule.predict_dataloader()))
    dense, graph = batch.x.to_dense(), Graph(batch.edge_index, batch.num_nodes)
    dq = load_program(runs["dq_int8"].program)
    peer = PyGNetwork(built.model.network).eval()
    candidates: dict[str, Callable[[], object]] = {
        "fp32": lambda: peer(dense, batch.edge_index),
        "dense": lambda: dq.run(dense, graph),
    }
    for scheme, run in runs.items():
        if scheme != "fp32":
            program = load_program(run.program)
            candidates[scheme] = lambda program=program: program.run(batch.x, graph)  # type: ignore[misc]
    return interleaved(candidates, REPEATS)
