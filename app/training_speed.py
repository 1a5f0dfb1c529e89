"""`benchmark-step`: the training step of each scheme against FP32, interleaved in one run."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data

from app.cli import UserError
from app.experiments import experiments
from app.lightning_cli import CellCLI, prepare_process
from app.timing import Timing, interleaved, processor
from models.quantization.functional import Grid
from models.quantization.gradients import fake_quantize

STEPS = 200
"""Timed steps of each candidate, after a tenth as many that settle the ranges."""

SHAPE = (20_000, 128)
"""Of the tensor on which the fake-quantizer is compared with torch's."""


def benchmark_step(options: argparse.Namespace, overrides: list[str]) -> int:
    """The command: forward, backward and optimizer step, without Lightning's own overhead, which is the same.

    Each cell runs on its sparse features and once more on the same features stored dense.
    """
    prepare_process()
    torch.set_num_threads(1)
    chosen = experiments(options, overrides)
    if not any(e.cell and e.cell.scheme == "fp32" for e in chosen):
        raise UserError("benchmark-step compares with FP32: name it too, e.g. --cell 'cora/gcn/*'")
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for experiment in chosen:
            built = experiment.build(Path(folder))
            built.datamodule.prepare_data()
            built.datamodule.setup("fit")
            (batch,) = built.datamodule.train_dataloader()
            dense = batch.clone()
            dense.x = batch.x.to_dense()
            steps[experiment.name, "sparse"] = step_of(built, batch)
            steps[experiment.name, "dense"] = step_of(experiment.build(Path(folder)), dense)
    timings = interleaved(steps, STEPS, warmup=STEPS // 10)
    table = Table("cell", "features", "median ms", "quartiles", "step / FP32 step", title="One training step")
    for (name, features), timing in timings.items():
        reference = timings[name.rpartition("/")[0] + "/fp32", features].median
        table.add_row(name, features, *figures(timing), f"{timing.median / reference:.2f}")
    console = Console()
    console.print(table)
    console.print(quantizer_table())
    console.print(f"{processor()}, 1 thread", highlight=False)
    return 0


def step_of(built: CellCLI, batch: Data) -> Callable[[], None]:
    """One optimization step of a task on a batch."""
    task = built.model
    optimizer = torch.optim.Adam(task.parameters(), lr=task.lr, weight_decay=task.weight_decay)
    task.train()

    def step() -> None:
        optimizer.zero_grad()
        task.loss(batch, "train")[0].backward()
        optimizer.step()

    return step


def quantizer_table() -> Table:
    """Fake-quantize forward and backward of one large tensor against torch's own operator."""
    x = torch.randn(SHAPE, requires_grad=True)
    gradient = torch.randn(SHAPE)

    def backward_of(forward: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(forward(x), x, gradient)

    timings = interleaved(
        {
            "torch.fake_quantize_per_tensor_affine": backward_of(
                lambda x: torch.fake_quantize_per_tensor_affine(x, 0.03, 3, -128, 127)
            ),
            "fake_quantize": backward_of(lambda x: fake_quantize(x, Grid(0.03, 3, 8, True))),
        },
        STEPS,
        warmup=STEPS // 10,
    )
    reference = timings["torch.fake_quantize_per_tensor_affine"].median
    table = Table("", "median ms", "quartiles", "torch / this", title=f"Fake-quantize {list(SHAPE)}, both directions")
    for name, timing in timings.items():
        table.add_row(name, *figures(timing), f"{reference / timing.median:.1f}")
    return table


def figures(timing: Timing) -> tuple[str, str]:
    """Median and quartiles as text."""
    return f"{timing.median:.2f}", f"{timing.lower:.2f} - {timing.upper:.2f}"
