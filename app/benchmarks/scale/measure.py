"""Measures one cell on a large graph."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from app.benchmarks import memory
from app.benchmarks.training import step_of
from app.cli.process import prepare_process
from app.config.lightning_cli import CellCLI
from app.config.trainer_settings import check_optimizer
from app.engine import Executable, Graph
from app.runs.experiment import Experiment
from callbacks.export_int8 import wants_program
from datamodules import FullBatchDataModule


def measured(experiment: Experiment, threads: int) -> dict[str, Any]:
    """Measures an epoch on the whole graph and in parts, and inference by the network and by its program.

    Features are stored dense. Of two calls of each the second is timed, for which the graph is prepared (sorted, with
    degrees and norms). Memory is what both take at their peak beyond features and edges, without the pages of files,
    which the system can drop.

    Returns:
        `cell`, `nodes`, `edges`, `features`, `parts`, and `rows` of `name`, `seconds`, `core_seconds` (those that the
        processor worked, which other work on the machine changes less), `bytes`, all None where there was too little
        memory; or, of a cell that is not one graph in parts, `refused`: why.
    """
    prepare_process()
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        built = experiment.build(Path(folder))
        data = built.datamodule
        if not isinstance(data, FullBatchDataModule) or data.num_parts is None:
            return {"refused": f"{experiment.name}: benchmark scale measures one graph in parts: set data.parts"}
        check_optimizer(built)
        data.prepare_data()
        data.setup("fit")
        assert data.graph_data is not None
        assert data.training_data is not None
        assert data.batches is not None
        for graph in (data.graph_data, data.training_data, data.batches.graph):
            graph.x = graph.x.to_dense()
        graph = data.graph_data
        sizes = {"nodes": graph.num_nodes, "edges": graph.num_edges, "features": graph.x.shape[1]}
        rows = [
            row("epoch in parts", trainer_of(built, data.train_dataloader())),
            row("epoch on the whole graph", trainer_of(built, [data.training_data])),
            *inference_rows(built, graph, threads, Path(folder)),
        ]
    return {"cell": experiment.name, **sizes, "parts": len(data.batches.items), "rows": rows}


def row(name: str, call: Callable[[], object]) -> dict[str, Any]:
    """Calls twice; returns the time of the second call, and the bytes that both took at their peak; see `measured`."""
    before, seconds, core_seconds = memory.own(), 0.0, 0.0

    def twice() -> None:
        nonlocal seconds, core_seconds
        call()
        started, worked = time.perf_counter(), time.process_time()
        call()
        seconds, core_seconds = time.perf_counter() - started, time.process_time() - worked

    try:
        peak = memory.peak_of_own(twice)
    except (MemoryError, RuntimeError) as problem:
        if not isinstance(problem, MemoryError) and "can't allocate memory" not in str(problem):
            raise
        return {"name": name, "seconds": None, "core_seconds": None, "bytes": None}
    return {"name": name, "seconds": seconds, "core_seconds": core_seconds, "bytes": peak - before}


def trainer_of(built: CellCLI, batches: Iterable[Data]) -> Callable[[], None]:
    """Returns a function that makes an optimization step on each of the batches."""
    task = built.model
    step = step_of(task)

    def epoch() -> None:
        task.train()
        for batch in batches:
            step(batch)
        task.zero_grad()

    return epoch


def inference_rows(built: CellCLI, graph: Data, threads: int, folder: Path) -> list[dict[str, Any]]:
    """Measures the network in torch and, if it is quantized, its program, from memory and from a file."""
    task = built.model.eval()

    def by_network() -> None:
        with torch.inference_mode():
            task(graph)

    rows = [row("inference, network", by_network)]
    if not wants_program(task):
        return rows
    program, x = Executable(task.network.lower(), threads=threads), graph.x.numpy()
    edges = Graph(graph.edge_index.numpy(), len(x))  # prepared by the first call, as the network's is
    expected = program.run(x, edges)  # compiles
    program.release()
    rows.append(row("inference, integer program", lambda: program.run(x, edges)))
    program.release()
    np.save(folder / "x.npy", x)
    graph.x, x = torch.empty(0, x.shape[1]), np.load(folder / "x.npy", mmap_mode="r")
    rows.append(row("inference, integer program, features in a file", lambda: program.run(x, edges)))
    np.testing.assert_array_equal(program.run(x, edges), expected)
    return rows
