"""`benchmark training`: times the training steps of cells against those of FP32, interleaved in one run."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data

from app.benchmarks.command import output_of, write_figures
from app.cli.console import standard_output
from app.config.lightning_cli import CellCLI
from app.config.machine import device_called, in_words
from app.config.trainer_settings import check_optimizer
from app.engine.program.grid import Grid
from app.errors import UserError
from app.runs.experiment import experiments
from app.runs.timing import Timing, completed, interleaved, processor
from models.quantization.fused.device import DeviceGrid
from models.quantization.fused.rounding import fake_quantize
from models.tasks import on_device
from models.tasks.base import GraphTask

STEPS_PER_WARMUP = 5
"""Timed steps for each untimed one before them: ranges move most in the first steps."""

SHAPE = (20_000, 128)
"""Of the tensor on which the fake-quantizer is compared with torch's."""


def benchmark_training(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints tables, optionally writes JSON.

    A step is forward, backward and optimizer, without Lightning's own overhead, which is the same for all. Sparse
    features are timed as they are and once more stored dense.
    """
    output = output_of(options)
    torch.set_num_threads(options.threads)
    device = device_called(options.device)
    rows = training_rows(options, overrides, device)
    quantizer = quantizer_rows(options.steps, device)
    console = standard_output()
    console.print(steps_table(rows))
    console.print(quantizer_table(quantizer))
    on = "" if device.type == "cpu" else f", {in_words(device)}"
    console.print(f"{processor()}, {options.threads} thread(s){on}", highlight=False)
    if output:
        figures = {"steps": rows, "fake_quantize": quantizer, "threads": options.threads, "device": in_words(device)}
        write_figures(output, figures, console)
    return 0


def training_rows(options: argparse.Namespace, overrides: list[str], device: torch.device) -> list[dict[str, Any]]:
    """Times the steps of each cell on each form of its features: milliseconds, seconds an epoch, ratio to FP32.

    Raises:
        UserError: if a cell has no FP32 counterpart among those named, or cannot be trained.
    """
    chosen = experiments(options, overrides)
    names = {experiment.name for experiment in chosen}
    for experiment in chosen:
        if fp32_of(experiment.name) not in names:
            raise UserError(f"benchmark training compares with FP32: add --cell {fp32_of(experiment.name)}")
    steps: dict[tuple[str, str], Callable[[], object]] = {}
    epoch_steps: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for experiment in chosen:
            built = experiment.build(Path(folder))
            check_optimizer(built)
            built.datamodule.prepare_data()
            built.datamodule.setup("fit")
            epoch = list(built.datamodule.train_dataloader())
            epoch_steps[experiment.name] = len(epoch)
            for form, batches in forms(epoch).items():
                steps[experiment.name, form] = stepper(experiment.build(Path(folder)), batches, device)
    timings = interleaved(steps, options.steps, warmup=options.steps // STEPS_PER_WARMUP)
    return [
        {
            "cell": name,
            "features": form,
            **asdict(timing),
            "epoch_seconds": timing.median * epoch_steps[name] / 1000.0,
            "ratio": timing.median / timings[fp32_of(name), form].median,
        }
        for (name, form), timing in timings.items()
    ]


def fp32_of(name: str) -> str:
    """The name of the FP32 cell that a cell is compared with."""
    return name.rpartition("/")[0] + "/fp32"


def forms(batches: list[Data]) -> dict[str, list[Data]]:
    """The batches as they are and, if their features are sparse, a copy with dense ones; by the name of the form."""
    if batches[0].x.layout != torch.sparse_csr:
        return {"dense": batches}
    dense = [batch.clone() for batch in batches]
    for batch in dense:
        batch.x = batch.x.to_dense()
    return {"sparse": batches, "dense": dense}


def stepper(built: CellCLI, batches: list[Data], device: torch.device) -> Callable[[], object]:
    """Returns a function that makes one optimization step on the next of the batches, starting over after the last.

    Batches are on the device already.
    """
    task, endless = built.model.to(device), cycle([on_device(batch, device) for batch in batches])
    step = step_of(task.train())
    return completed(lambda: step(next(endless)), device)


def step_of(task: GraphTask) -> Callable[[Data], None]:
    """Returns a function that makes one optimization step on a batch."""
    optimizer = torch.optim.Adam(task.parameters(), lr=task.lr, weight_decay=task.weight_decay)

    def step(batch: Data) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(batch, "train")[0])
        optimizer.step()

    return step


def steps_table(rows: list[dict[str, Any]]) -> Table:
    """The figures of `training_rows` for the screen."""
    table = Table("cell", "features", "median ms", "quartiles", "s / epoch", "step / FP32 step", title="Training steps")
    for row in rows:
        quartiles = f"{row['lower']:.2f} - {row['upper']:.2f}"
        epoch, ratio = f"{row['epoch_seconds']:.2f}", f"{row['ratio']:.2f}"
        table.add_row(row["cell"], row["features"], f"{row['median']:.2f}", quartiles, epoch, ratio)
    return table


def quantizer_rows(repeats: int, device: torch.device) -> list[dict[str, Any]]:
    """Times fake-quantizing one large tensor, forward and backward, by torch's own operator and by ours."""
    x = torch.randn(SHAPE, device=device, requires_grad=True)
    gradient = torch.randn(SHAPE, device=device)
    grid: Grid | DeviceGrid = Grid(0.03, 3, 8, signed=True)
    if device.type != "cpu":
        grid = DeviceGrid(torch.tensor(0.03, device=device), torch.tensor(3.0, device=device), -128, 127)

    def both(forward: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return completed(lambda: torch.autograd.grad(forward(x), x, gradient), device)

    timings: dict[str, Timing] = interleaved(
        {
            "torch.fake_quantize_per_tensor_affine": both(
                lambda x: torch.fake_quantize_per_tensor_affine(x, 0.03, 3, -128, 127)
            ),
            "fake_quantize": both(lambda x: fake_quantize(x, grid)),
        },
        repeats,
        warmup=repeats // STEPS_PER_WARMUP,
    )
    reference = next(iter(timings.values())).median
    return [{"name": name, **asdict(t), "ratio": reference / t.median} for name, t in timings.items()]


def quantizer_table(rows: list[dict[str, Any]]) -> Table:
    """The figures of `quantizer_rows` for the screen."""
    table = Table("", "median ms", "quartiles", "torch / this", title=f"Fake-quantize {list(SHAPE)}, both directions")
    for row in rows:
        quartiles = f"{row['lower']:.2f} - {row['upper']:.2f}"
        table.add_row(row["name"], f"{row['median']:.2f}", quartiles, f"{row['ratio']:.1f}")
    return table
