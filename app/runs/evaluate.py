"""Runs `validate`, `test` and `predict` on trained runs."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from app.cli.console import standard_output
from app.cli.output import output_file
from app.config.lightning_cli import CellCLI
from app.engine import load_program
from app.engine.files import write_atomically
from app.engine.program.io import MANIFEST
from app.errors import UserError
from app.runs.exactness import graph_of
from app.runs.experiment import Experiment, experiments, single
from app.runs.loading import load_run, nearest_trained
from app.runs.run_folder import Run
from datamodules import GraphDataModule


def validate(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints validation metrics of the best checkpoints."""
    return _print_metrics(options, overrides, "validate")


def test(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: prints test metrics of the best checkpoints."""
    return _print_metrics(options, overrides, "test")


def _print_metrics(options: argparse.Namespace, overrides: list[str], method: str) -> int:
    table: Table | None = None
    for experiment, built in _load_runs(options, overrides):
        (metrics,) = getattr(built.trainer, method)(built.model, built.datamodule, verbose=False)
        if not built.trainer.is_global_zero:
            continue
        if table is None:
            table = Table("cell", "seed", *metrics)
        table.add_row(experiment.name, str(experiment.seed), *(f"{value:.4f}" for value in metrics.values()))
    if table is not None:
        standard_output().print(table)
    return 0


def _load_runs(options: argparse.Namespace, overrides: list[str]) -> Iterator[tuple[Experiment, CellCLI]]:
    """Yields the named experiments and their trained runs, built as the runs' own configs say plus the overrides."""
    extra = [word for path in options.config for word in ("--config", path)]
    for experiment in experiments(options, overrides):
        yield experiment, load_run(experiment.run_in(Path(options.runs_root)), *extra, *overrides)


def predict(options: argparse.Namespace, overrides: list[str]) -> int:
    """Runs the command: writes a CSV with a row per node or graph: its number, class and logits, or its value."""
    experiment = single(options, overrides)
    output = output_file(options.output)
    logits, data = (
        _program_logits(options.program, experiment) if options.program else _checkpoint_logits(options, overrides)
    )
    write_atomically(output, as_csv(logits, data.task, data.class_names))
    standard_output().print(f"{len(logits)} predictions in {output}", highlight=False)
    return 0


def _program_logits(path: str, experiment: Experiment) -> tuple[np.ndarray, GraphDataModule]:
    program = load_program(find_program(Path(path)))
    data = experiment.build(Path(".")).datamodule
    data.prepare_data()
    data.setup("predict")
    batches = list(data.predict_dataloader())
    width = batches[0].x.shape[1]
    if program.in_features != width:
        raise UserError(f"--program {path}: reads {program.in_features} features per node, {data.name} has {width}")
    return np.concatenate([program.run(batch.x, graph_of(batch, program)) for batch in batches]), data


def find_program(path: Path) -> Path:
    """Returns the path of a program, after a look whether there is one.

    Raises:
        UserError: if the folder is none of a program.
    """
    if path.is_dir() and not (path / MANIFEST).exists():
        near = [run.program for run in (Run(path), nearest_trained(path)) if run and (run.program / MANIFEST).exists()]
        hint = f"did you mean {near[0]}?" if near else "`train.py export` writes one"
        raise UserError(f"--program {path}: no program here (no {MANIFEST}); {hint}")
    return path


def _checkpoint_logits(options: argparse.Namespace, overrides: list[str]) -> tuple[np.ndarray, GraphDataModule]:
    ((_, built),) = _load_runs(options, overrides)
    if built.trainer.world_size > 1:
        raise UserError(f"trainer.devices: predictions are written by one process, not by {built.trainer.world_size}")
    batches = built.trainer.predict(built.model, built.datamodule)
    return torch.cat(batches).numpy(), built.datamodule  # type: ignore[arg-type]


def as_csv(logits: np.ndarray, task: str, class_names: Sequence[Any] = ()) -> str:
    """Returns predictions as CSV, with numbers in their shortest exact decimal form.

    The columns are `node,class,logit_0,...`, with a row per node; `graph,class,logit_0,...` with a row per graph; or,
    of a regression, `graph,value_0,...`.

    Args:
        logits: [rows, C] logits of C classes, or the value (C = 1) of a regression.
        task: `node_classification`, `graph_classification` or `graph_regression`.
        class_names: the labels that the data has for the classes; empty: their numbers.
    """
    rows, _, kind = task.partition("_")
    classes = kind == "classification"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{'logit' if classes else 'value'}_{i}" for i in range(logits.shape[1])]
    writer.writerow([rows, *["class"] * classes, *names])
    for number, row in enumerate(logits):
        best = int(row.argmax())
        chosen = [class_names[best] if class_names else best] if classes else []
        writer.writerow([number, *chosen, *(str(value) for value in row + 0.0)])  # no -0.0
    return text.getvalue()
