"""`benchmark training`: the training steps of cells against those of FP32, interleaved in one run."""

from __future__ import annotations

import argparse
import json
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

from app.benchmarks.timing import Timing, interleaved, processor
from app.cli.console import standard_output
from app.cli.output import output_file
from app.config.lightning_cli import CellCLI
from app.engine.files import write_atomically
from app.engine.program.grid import Grid
from app.errors import UserError
from app.runs.experiment import experiments
from app.runs.provenance import versions
from models.quantization.fused.rounding import fake_quantize

SETTLING = 5
"""Each candidate first makes a fifth as many steps as are timed: ranges move most in the first ones."""

SHAPE = (20_000, 128)
"""Of the tensor on which the fake-quantizer is compared with torch's."""


def benchmark_training(options: argparse.Namespace, overrides: list[str]) -> int:
    """The command: forward, backward and optimizer step, without Lightning's own overhead, which is the same.

    Sparse features are timed as they are and once more stored dense.
    """
    output = output_file(options.output) if options.output else None
    torch.set_num_threads(options.threads)
    rows = training_rows(options, overrides)
    quantizer = quantizer_rows(options.steps)
    console = standard_output()
    console.print(steps_table(rows))
    console.print(quantizer_table(quantizer))
    console.print(f"{processor()}, {options.threads} thread(s)", highlight=False)
    if output:
        figures = {"steps": rows, "fake_quantize": quantizer, "threads": options.threads}
        about = {"processor": processor(), "versions": versions()}
        write_atomically(output, json.dumps(figures | about, indent=2) + "\n")
        console.print(f"figures in {output}", highlight=False, soft_wrap=True)
    return 0


def training_rows(options: argparse.Namespace, overrides: list[str]) -> list[dict[str, Any]]:
    """Per cell and form of its features: milliseconds a step, seconds an epoch, ratio to FP32.

    Raises:
        UserError: if a cell has no FP32 counterpart among those named.
    """
    chosen = experiments(options, overrides)
    for experiment in chosen:
        if fp32_of(experiment.name) not in {other.name for other in chosen}:
            raise UserError(f"benchmark training compares with FP32: add --cell {fp32_of(experiment.name)}")
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    batches: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for experiment in chosen:
            built = experiment.build(Path(folder))
            built.datamodule.prepare_data()
            built.datamodule.setup("fit")
            epoch = list(built.datamodule.train_dataloader())
            batches[experiment.name] = len(epoch)
            for form, some in forms(epoch).items():
                steps[experiment.name, form] = stepper(experiment.build(Path(folder)), some)
    timings = interleaved(steps, options.steps, warmup=options.steps // SETTLING)
    return [
        {
            "cell": name,
            "features": form,
            **asdict(timing),
            "epoch_seconds": timing.median * batches[name] / 1000.0,
            "ratio": timing.median / timings[fp32_of(name), form].median,
        }
        for (name, form), timing in timings.items()
    ]


def fp32_of(name: str) -> str:
    """The FP32 cell a cell is compared with."""
    return name.rpartition("/")[0] + "/fp32"


def forms(batches: list[Data]) -> dict[str, list[Data]]:
    """The batches as they are; those with sparse features once more with dense ones."""
    if batches[0].x.layout != torch.sparse_csr:
        return {"dense": batches}
    dense = [batch.clone() for batch in batches]
    for batch in dense:
        batch.x = batch.x.to_dense()
    return {"sparse": batches, "dense": dense}


def stepper(built: CellCLI, batches: list[Data]) -> Callable[[], None]:
    """One optimization step of a task on the next batch, again and again."""
    task, turn = built.model, cycle(batches)
    optimizer = torch.optim.Adam(task.parameters(), lr=task.lr, weight_decay=task.weight_decay)
    task.train()

    def step() -> None:
        optimizer.zero_grad()
        task.loss(next(turn), "train")[0].backward()
        optimizer.step()

    return step


def steps_table(rows: list[dict[str, Any]]) -> Table:
    """The figures of `training_rows`."""
    table = Table("cell", "features", "median ms", "quartiles", "s / epoch", "step / FP32 step", title="Training steps")
    for row in rows:
        quartiles = f"{row['lower']:.2f} - {row['upper']:.2f}"
        epoch, ratio = f"{row['epoch_seconds']:.2f}", f"{row['ratio']:.2f}"
        table.add_row(row["cell"], row["features"], f"{row['median']:.2f}", quartiles, epoch, ratio)
    return table


def quantizer_rows(repeats: int) -> list[dict[str, Any]]:
    """Fake-quantize forward and backward of one large tensor, torch's own operator first."""
    x = torch.randn(SHAPE, requires_grad=True)
    gradient = torch.randn(SHAPE)

    def both(forward: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(forward(x), x, gradient)

    timings: dict[str, Timing] = interleaved(
        {
            "torch.fake_quantize_per_tensor_affine": both(
                lambda x: torch.fake_quantize_per_tensor_affine(x, 0.03, 3, -128, 127)
            ),
            "fake_quantize": both(lambda x: fake_quantize(x, Grid(0.03, 3, 8, True))),
        },
        repeats,
        warmup=repeats // SETTLING,
    )
    reference = next(iter(timings.values())).median
    return [{"name": name, **asdict(t), "ratio": reference / t.median} for name, t in timings.items()]


def quantizer_table(rows: list[dict[str, Any]]) -> Table:
    """The figures of `quantizer_rows`."""
    table = Table("", "median ms", "quartiles", "torch / this", title=f"Fake-quantize {list(SHAPE)}, both directions")
    for row in rows:
        quartiles = f"{row['lower']:.2f} - {row['upper']:.2f}"
        table.add_row(row["name"], f"{row['median']:.2f}", quartiles, f"{row['ratio']:.1f}")
    return table
