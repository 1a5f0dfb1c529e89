"""`benchmark-step`: the training step of each scheme against FP32, interleaved in one run."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from app.cli import UserError
from app.experiments import experiments
from app.lightning_cli import CellCLI, prepare_process
from app.timing import interleaved, processor
from models.tasks import NodeClassification

STEPS = 200
"""Timed steps of each scheme, after as many that settle the ranges as a tenth of it."""


def benchmark_step(options: argparse.Namespace, overrides: list[str]) -> int:
    """The command: forward, backward and optimizer step, without Lightning's own overhead, which is the same."""
    prepare_process()
    torch.set_num_threads(1)
    chosen = experiments(options, overrides)
    if not any(e.cell and e.cell.scheme == "fp32" for e in chosen):
        raise UserError("benchmark-step compares with FP32: name it too, e.g. --cell 'cora/gcn/*'")
    with tempfile.TemporaryDirectory() as folder:
        steps = {e.name: _step_of(e.build(Path(folder))) for e in chosen}
    timings = interleaved(steps, STEPS, warmup=STEPS // 10)
    table = Table("cell", "median ms", "quartiles", "step / FP32 step", title="One training step")
    for name, timing in timings.items():
        reference = timings[name.rpartition("/")[0] + "/fp32"].median
        quartiles = f"{timing.lower:.2f} - {timing.upper:.2f}"
        table.add_row(name, f"{timing.median:.2f}", quartiles, f"{timing.median / reference:.2f}")
    console = Console()
    console.print(table)
    console.print(f"{processor()}, 1 thread", highlight=False)
    return 0


def _step_of(built: CellCLI) -> Callable[[], None]:
    """One optimization step of a task on its (only) training batch."""
    task, data = built.model, built.datamodule
    assert isinstance(task, NodeClassification)
    data.prepare_data()
    data.setup("fit")
    (batch,) = data.train_dataloader()
    optimizer = task.configure_optimizers()
    task.train()

    def step() -> None:
        optimizer.zero_grad()
        task.loss(batch, batch.train_mask)[0].backward()
        optimizer.step()

    return step
