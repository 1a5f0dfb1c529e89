"""`sensitivity`: what each site costs a trained run, alone in codes and alone in floats."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor, nn

from app.cli.output import output_file
from app.config.lightning_cli import CellCLI
from app.errors import UserError
from app.reports.results import METRICS
from app.reports.rows import Rows, without_empty_columns
from app.reports.writers import deliver
from app.runs.loading import load_run
from app.runs.run_folder import Run
from models.quantization.fake_quantize import Site
from models.tasks import GraphTask

STAGES = ("val", "test")
EVERYTHING = "all sites"


class Cost(NamedTuple):
    """Of a network that rounds at some sites, beside the same weights in floats, on validation and test rows.

    `error`: of the logits, less their mean in each row (which no class depends on), or of the values of a regression:
    root of the mean square over that of the floats. `agree`: share of rows with the same class, of a regression nan.
    """

    error: float
    agree: float
    val: float
    test: float


Answers = dict[str, tuple[Tensor, Tensor]]
"""Predictions and targets of the rows of each of `STAGES`."""


def sensitivity(options: argparse.Namespace, rest: list[str]) -> int:
    """The command: a row per site, means over the runs."""
    if options.output:
        output_file(options.output)  # refuses a folder before the work, not after it
    found = [costs(load_run(Run(Path(folder))), folder) for folder in options.run]
    for folder, other in zip(options.run, found, strict=True):
        if other.keys() != found[0].keys():
            raise UserError(f"--run {folder}: has other sites than {options.run[0]}; give runs of one cell")
    tables = {f"Sites of {len(found)} runs such as {options.run[0]}": rows(found)}
    deliver(tables, options.format, options.output)
    return 0


def rows(found: list[dict[str, tuple[Cost, Cost]]]) -> Rows:
    """The table: what a site costs alone, and what is left to the others without it."""
    names = ("error %", "agree %", "val", "test")
    table = [["site", *(f"alone: {name}" for name in names), *(f"without: {name}" for name in names)]]
    for site in found[0]:
        means = [mean(values) for side in (0, 1) for values in zip(*(run[site][side] for run in found), strict=True)]
        table.append([site, *("" if isnan(value) else f"{value:.3f}" for value in means)])
    return without_empty_columns(table)


@torch.no_grad()
def costs(built: CellCLI, folder: str) -> dict[str, tuple[Cost, Cost]]:
    """By site what it costs alone, and what all others cost without it; first of all sites, and of none.

    Raises:
        UserError: if the run quantizes nothing.
    """
    task, data = built.model, built.datamodule
    sites = [site.name for site in quantizing(task)]
    if not sites:
        raise UserError(f"--run {folder}: its scheme is FP32; only quantized runs have sites that round")
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    loaders = {"val": data.val_dataloader(), "test": data.test_dataloader()}

    def answers(rounding: Collection[str]) -> Answers:
        with only(task, rounding):
            parts = {s: [task.select(task(b), b, s) for b in loader] for s, loader in loaders.items()}
        return {s: tuple(map(torch.cat, zip(*pairs, strict=True))) for s, pairs in parts.items()}  # type: ignore[misc]

    floats = answers(())
    found = {EVERYTHING: (cost(task, answers(sites), floats), cost(task, floats, floats))}
    for site in sites:
        others = [name for name in sites if name != site]
        found[site] = cost(task, answers([site]), floats), cost(task, answers(others), floats)
    return found


def quantizing(network: nn.Module) -> Iterator[Site]:
    """The sites of a network that round."""
    return (part for part in network.modules() if isinstance(part, Site) and part.bits < 32)


@contextmanager
def only(network: nn.Module, rounding: Collection[str]) -> Iterator[None]:
    """Lets only the sites of these names round; the others pass everything through, as those of an FP32 network."""
    replaced = [
        (owner, name, site)
        for owner in network.modules()
        for name, site in owner.named_children()
        if isinstance(site, Site) and site.name not in rounding
    ]
    for owner, name, site in replaced:
        owner.add_module(name, Site(site.name, site.domain))
    try:
        yield
    finally:
        for owner, name, site in replaced:
            owner.add_module(name, site)


def cost(task: GraphTask, got: Answers, floats: Answers) -> Cost:
    """See `Cost`."""
    one, other = (torch.cat([answers[stage][0] for stage in STAGES]).flatten(1) for answers in (got, floats))
    classes = one.shape[1] > 1
    if classes:
        one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    agree = 100 * float((one.argmax(1) == other.argmax(1)).float().mean()) if classes else float("nan")
    error = 100 * float((one - other).norm() / other.norm())
    return Cost(error, agree, *(figure(task, *got[stage]) for stage in STAGES))


def figure(task: GraphTask, predictions: Tensor, targets: Tensor) -> float:
    """The task's metric, in the unit of tables."""
    metric = task.make_metric()
    metric.update(predictions, targets)
    return METRICS[task.metric[0]][1] * float(metric.compute())
