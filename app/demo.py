"""Runs `demo`: trains FP32, QAT and Degree-Quant on the embedded data set, and shows them in one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from app.benchmarks.peers.pyg import float_bytes
from app.benchmarks.run_latency import peer_of
from app.cli.console import standard_output
from app.config.cells import select
from app.engine import Graph, load_program
from app.runs.completion import complete
from app.runs.experiment import Experiment
from app.runs.loading import load_run
from app.runs.run_folder import Run
from app.runs.timing import Timing, interleaved, processor

SCHEMES = ("fp32", "qat_int8", "dq_int8", "qat_int4", "dq_int4")
REPEATS = 30
"""How often every forward is timed."""


def demo(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command."""
    torch.set_num_threads(1)
    root = Path(options.runs_root)
    console = standard_output()
    runs = train(root, console, overwrite=options.overwrite)
    with console.status("timing"):
        timings = time_forwards(runs)
    console.print(comparison_table(runs, timings))
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


def train(root: Path, console: Console, *, overwrite: bool) -> dict[str, Run]:
    """Trains a GCN on the embedded data set in every scheme and returns the finished runs by scheme."""
    runs = {}
    for cell in (cell for scheme in SCHEMES for cell in select(f"synthetic/gcn/{scheme}")):
        experiment = Experiment.of_cell(cell, 0).quiet()
        run = experiment.run_in(root)
        with console.status(f"training {cell}"), run.exclusive():
            complete(experiment, run, overwrite=overwrite)
        runs[cell.scheme] = run
        console.print(f"trained {cell}: {run.read_result()['durations']['fit']:.0f} s", highlight=False)
    return runs


def time_forwards(runs: Mapping[str, Run]) -> dict[str, Timing]:
    """Times one forward of PyG in FP32 and of every integer program, interleaved.

    `dense` is the DQ INT8 program on features that are not stored as CSR.
    """
    built = load_run(runs["fp32"])
    built.datamodule.setup("predict")
    batch = next(iter(built.datamodule.predict_dataloader()))
    dense, graph = batch.x.to_dense(), Graph(batch.edge_index, batch.num_nodes)
    candidates: dict[str, Callable[[], object]] = {
        "fp32": peer_of(built.model.network, batch),
        "dense": partial(load_program(runs["dq_int8"].program).run, dense, graph),
    }
    for scheme, run in runs.items():
        if scheme != "fp32":
            candidates[scheme] = partial(load_program(run.program).run, batch.x, graph)
    return interleaved(candidates, REPEATS)


def comparison_table(runs: Mapping[str, Run], timings: Mapping[str, Timing]) -> Table:
    """A row for every run: accuracy, bytes, and for integer programs latency and agreement with the trained model."""
    table = Table(title="Degree-Quant on the embedded data set (2-layer GCN, 16 hidden)")
    columns = ("scheme", "bits", "accuracy", "bytes", "PyG ms", "integer ms", "speed-up", "agree")
    for column in columns:
        table.add_column(column, justify="left" if column == "scheme" else "right")
    peer = timings["fp32"].median
    for scheme, run in runs.items():
        model, result = load_run(run).model, run.read_result()
        accuracy, exactness = f"{100 * result['metrics']['test/accuracy']:.1f} %", result["exactness"]
        size, integer = float_bytes(model.network), ("", "", "")
        if exactness is not None:
            size, latency = load_program(run.program).num_bytes, timings[scheme].median
            agreeing = 1 - exactness["predictions_differing"] / exactness["predictions"]
            integer = f"{latency:.2f}", f"{peer / latency:.1f}x", f"{100 * agreeing:.1f} %"
        table.add_row(model.scheme.name, str(model.scheme.bits), accuracy, f"{size:,}", f"{peer:.2f}", *integer)
    return table
