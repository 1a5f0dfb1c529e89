"""`benchmark`: a trained run's FP32 PyG forward against its integer programs, in one interleaved run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from app.benchmarks.peers.pyg import PyGNetwork, float_bytes
from app.benchmarks.timing import interleaved, processor
from app.cli.console import standard_output
from app.cli.output import output_file
from app.engine.compilation import compile_note
from app.engine.executor import Executable
from app.engine.files import write_atomically
from app.runs.exactness import graph_of
from app.runs.loading import load_run, rebuild
from app.runs.provenance import versions
from app.runs.run_folder import Run
from models.architectures import Architecture
from models.layers.norm import learned_state
from models.quantization.control import calibrate


def benchmark(options: argparse.Namespace, rest: list[str]) -> int:
    """The command: prints a table, optionally writes JSON."""
    output = output_file(options.output) if options.output else None
    torch.set_num_threads(options.threads)
    figures = measure(Run(Path(options.run)), options.repeats)
    console = standard_output()
    console.print(latency_table(figures))
    console.print(f"{figures['processor']}, {options.threads} thread(s) for PyG, 1 for the engine", highlight=False)
    console.print(compile_note(), highlight=False)
    if output:
        write_atomically(output, json.dumps(figures, indent=2) + "\n")
        console.print(f"figures in {output}", highlight=False, soft_wrap=True)
    return 0


def measure(run: Run, repeats: int) -> dict[str, Any]:
    """Latency of one forward, bytes and agreement of the FP32 peer and the INT8 and INT4 programs of a run.

    All read the same graph, prepared beforehand as each likes it (PyG: cached normalisation; engine: CSR).
    Features are given dense to both, and as sparse rows (`sparse`) to the engine once more.
    """
    built = load_run(run)
    built.datamodule.prepare_data()
    built.datamodule.setup("predict")
    batch = next(iter(built.datamodule.predict_dataloader()))
    network: Architecture = built.model.network
    peer = PyGNetwork(network).eval()
    dense = batch.x.to_dense()
    graph = graph_of(batch)
    with torch.no_grad():
        trained = built.model(batch).argmax(1).numpy()
    programs = {f"INT{bits}": program_at(run, network, bits, batch) for bits in (8, 4)}
    candidates: dict[str, Callable[[], object]] = {"PyG FP32": lambda: peer(dense, batch.edge_index, batch.batch)}
    for name, program in programs.items():
        candidates[name] = lambda program=program: program.run(dense, graph)  # type: ignore[misc]
        if batch.x.layout == torch.sparse_csr:
            candidates[f"{name} sparse"] = lambda program=program: program.run(batch.x, graph)  # type: ignore[misc]
    timings = interleaved(candidates, repeats)
    own = f"INT{network.scheme.bits}"
    rows = []
    for name, timing in timings.items():
        width = name.removesuffix(" sparse")
        used = programs.get(width)
        rows.append(
            {
                "name": name,
                **asdict(timing),
                "ratio": timings["PyG FP32"].median / timing.median,
                "bytes": used.num_bytes if used else float_bytes(network),
                "agreement": float(np.mean(used.run(batch.x, graph).argmax(1) == trained)) if used else None,
                "ranges": None if not used else "trained" if width == own else "calibrated",
            }
        )
    return {"run": str(run.directory), "rows": rows, "processor": processor(), "versions": versions()}


def program_at(run: Run, network: Architecture, bits: int, batch: Any) -> Executable:
    """The network's own program at its own bits; at others, its weights with ranges calibrated on the batch.

    Such a program is for speed and bytes: its predictions are those of post-training quantization.
    """
    if network.scheme.bits == bits:
        return Executable(network.lower())
    task = rebuild(run, f"--model.scheme.bits={bits}", "--model.scheme.observer.statistic=percentile").model
    task.network.load_state_dict(learned_state(network), strict=False)
    calibrate(task.network, lambda: task(batch))
    return Executable(task.network.lower())


def latency_table(figures: dict[str, Any]) -> Table:
    """The rich table of `measure`."""
    table = Table(title=f"One forward of {figures['run']}")
    for column in ("", "median ms", "quartiles", "PyG FP32 / this", "bytes", "same class as trained", "ranges"):
        table.add_column(column, justify="left" if column in ("", "ranges") else "right")
    for row in figures["rows"]:
        agreement = "" if row["agreement"] is None else f"{100 * row['agreement']:.2f} %"
        table.add_row(
            row["name"], f"{row['median']:.3f}", f"{row['lower']:.3f} - {row['upper']:.3f}",
            f"{row['ratio']:.1f}x", f"{row['bytes']:,}", agreement, row["ranges"] or "",
        )  # fmt: skip
    return table
