"""`benchmark`: times a trained run's forward in FP32 by PyG against its integer programs, interleaved in one run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import copy
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from app.benchmarks.command import output_of, write_figures
from app.benchmarks.peers.pyg import PyGNetwork, float_bytes
from app.cli.console import standard_output
from app.engine import Executable
from app.engine.compilation import compile_note
from app.runs.exactness import graph_of
from app.runs.loading import load_run, rebuild
from app.runs.run_folder import Run
from app.runs.timing import interleaved, processor
from models.architectures import Architecture
from models.architectures.network import Network
from models.conversion import PreparedNetwork
from models.layers.norm import learned_state
from models.quantization.control import calibrate

PEER = "PyG FP32"


def benchmark(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table, optionally writes JSON."""
    output = output_of(options)
    torch.set_num_threads(options.threads)
    figures = measure(Run(Path(options.run)), options.repeats)
    console = standard_output()
    console.print(run_table(figures))
    console.print(f"{processor()}, {options.threads} thread(s) for PyG, 1 for the engine", highlight=False)
    console.print(compile_note(), highlight=False)
    if output:
        write_figures(output, figures, console)
    return 0


def measure(run: Run, repeats: int) -> dict[str, Any]:
    """Times one forward of the FP32 peer and of the INT8 and INT4 programs of a run.

    All read the same graph, prepared beforehand as each likes it (PyG: cached normalisation; engine: CSR).
    Features are given dense to both, and as sparse rows (`sparse`) to the engine once more.

    Returns:
        `run`: its folder; `rows`: for each candidate its name, milliseconds as in `Timing`, `ratio` (median of the
        peer over its own), `bytes`, `agreement` (share of classes, or labels, that are those of the trained model;
        None of numbers) and `ranges` (`trained` at the run's own bits, else `calibrated`).
    """
    built = load_run(run)
    built.datamodule.prepare_data()
    built.datamodule.setup("predict")
    batch = next(iter(built.datamodule.predict_dataloader()))
    network: Network = built.model.network
    dense = batch.x.to_dense()
    with torch.no_grad():
        trained = built.model(batch)
    programs = {f"INT{bits}": program_at(run, network, bits, batch) for bits in (8, 4)}
    graph = graph_of(batch, programs["INT8"])
    candidates: dict[str, Callable[[], object]] = {PEER: peer_of(network, batch)}
    for name, program in programs.items():
        candidates[name] = partial(program.run, dense, graph)
        if batch.x.layout == torch.sparse_csr:
            candidates[f"{name} sparse"] = partial(program.run, batch.x, graph)
    timings = interleaved(candidates, repeats)
    about: dict[str, dict[str, Any]] = {PEER: {"bytes": float_bytes(network), "agreement": None, "ranges": None}}
    for name, program in programs.items():
        about[name] = {
            "bytes": program.num_bytes,
            "agreement": built.model.target.agreement(trained, torch.from_numpy(program.run(batch.x, graph))),
            "ranges": "trained" if name == f"INT{network.scheme.bits}" else "calibrated",
        }
    rows = [
        {"name": name, **asdict(timing), "ratio": timings[PEER].median / timing.median}
        | about[name.removesuffix(" sparse")]
        for name, timing in timings.items()
    ]
    return {"run": str(run.directory), "rows": rows}


def peer_of(network: Network, batch: Any) -> Callable[[], object]:
    """Returns a forward in FP32 by PyG: of the network that a prepared one is made of, or of a twin of ours."""
    dense = copy(batch)
    dense.x = batch.x.to_dense()
    if isinstance(network, PreparedNetwork):
        assert network.make_original is not None
        original = network.make_original().eval()
        return torch.inference_mode()(partial(original, **network.arguments_for(dense)))
    assert isinstance(network, Architecture)
    return partial(PyGNetwork(network).eval(), dense.x, dense.edge_index, dense.batch)


def program_at(run: Run, network: Network, bits: int, batch: Any) -> Executable:
    """Lowers a run's network at so many bits.

    At bits other than its own the ranges are calibrated on the batch: that program is for speed and bytes, and its
    predictions are those of post-training quantization.
    """
    if network.scheme.bits == bits:
        return Executable(network.lower())
    task = rebuild(run, f"--model.scheme.bits={bits}", "--model.scheme.observer.statistic=percentile").model
    task.network.load_state_dict(learned_state(network), strict=False)
    calibrate(task.network, lambda: task(batch))
    return Executable(task.network.lower())


def run_table(figures: dict[str, Any]) -> Table:
    """The figures of `measure` for the screen."""
    table = Table(title=f"One forward of {figures['run']}")
    for column in ("", "median ms", "quartiles", "PyG FP32 / this", "bytes", "as trained", "ranges"):
        table.add_column(column, justify="left" if column in ("", "ranges") else "right")
    for row in figures["rows"]:
        agreement = "" if row["agreement"] is None else f"{100 * row['agreement']:.2f} %"
        table.add_row(
            row["name"], f"{row['median']:.3f}", f"{row['lower']:.3f} - {row['upper']:.3f}",
            f"{row['ratio']:.1f}x", f"{row['bytes']:,}", agreement, row["ranges"] or "",
        )  # fmt: skip
    return table
