"""`sensitivity`: measures what each quantization site costs a trained run, alone and left out."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor

from app.cli.output import output_file
from app.config.lightning_cli import CellCLI
from app.config.settings import differing_settings, first_of
from app.errors import UserError
from app.reports.formats.writers import deliver
from app.reports.results import METRICS
from app.reports.rows import Rows, without_empty_columns
from app.runs.loading import check_trained, load_run
from app.runs.run_folder import Run
from models.quantization.control import rounding_only, rounding_sites
from models.tasks import GraphTask, on_device

STAGES = ("val", "test")
EVERYTHING = "all sites"


class Cost(NamedTuple):
    """A network that rounds at some sites, compared with the same weights in floats on validation and test rows.

    `error`: of the logits, those of classes less their mean in each row (which no class depends on), or of the values
    of a regression: root of the mean square over that of the floats, in percent. `agree`: percentage of rows with the
    same class, or of labels that are the same, nan for a regression. `val`, `test`: the task's metric, in the unit of
    tables.
    """

    error: float
    agree: float
    val: float
    test: float


class SiteCosts(NamedTuple):
    """What a site costs: `alone`, when nothing else rounds; `without`: what all others cost when it does not round."""

    alone: Cost
    without: Cost


Outputs = Mapping[str, tuple[Tensor, Tensor]]
"""Predictions [rows, C] and targets [rows, ..] of each of STAGES."""


def sensitivity(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: delivers a table with a row for every site, means over the runs.

    Raises:
        UserError: if the runs differ in more than the seed, or one of them is in FP32.
    """
    if options.output:
        output_file(options.output)  # refuses a folder before the work, not after it
    check_one_cell(options.run)
    loaded = {folder: load_run(Run(Path(folder))) for folder in options.run}
    sites = {folder: names_of_sites(built) for folder, built in loaded.items()}  # before the work, not after it
    for folder, names in sites.items():
        if not names:
            raise UserError(f"--run {folder}: its scheme is FP32; only quantized runs have sites that round")
    runs = [site_costs(built) for built in loaded.values()]
    deliver({f"Sites of {len(runs)} runs such as {options.run[0]}": cost_rows(runs)}, options.format, options.output)
    return 0


def check_one_cell(folders: Sequence[str]) -> None:
    """Raises UserError if runs differ in another setting than the seed, naming it."""
    first, *others = (Run(Path(folder)) for folder in folders)
    check_trained(first)
    settings = first.read_config()
    for run in others:
        check_trained(run)
        found = differing_settings(settings, run.read_config())
        if differences := [line for line in found if not line.startswith("seed_everything:")]:
            told = f"is of another cell than {first.directory} ({first_of(differences)}); give runs of one cell"
            raise UserError(f"--run {run.directory}: {told}")


def cost_rows(runs: Sequence[Mapping[str, SiteCosts]]) -> Rows:
    """The table of the costs of runs with the same sites: means over the runs."""
    names = ("error %", "agree %", "val", "test")
    table = [["site", *(f"alone: {name}" for name in names), *(f"without: {name}" for name in names)]]
    for site in runs[0]:
        sides = zip(*(costs[site] for costs in runs), strict=True)
        means = [mean(values) for side in sides for values in zip(*side, strict=True)]
        table.append([site, *("" if isnan(value) else f"{value:.3f}" for value in means)])
    return without_empty_columns(table)


def names_of_sites(built: CellCLI) -> list[str]:
    """Returns the names of the sites of a run that round; of one in FP32 there are none."""
    return [site.name for site in rounding_sites(built.model)]


@torch.no_grad()
def site_costs(built: CellCLI) -> dict[str, SiteCosts]:
    """Measures every site of a loaded run by name; first under EVERYTHING all sites together."""
    task, data, sites = built.model, built.datamodule, names_of_sites(built)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    loaders = {"val": data.val_dataloader(), "test": data.test_dataloader()}

    def outputs_of_stage(stage: str) -> tuple[Tensor, Tensor]:
        batches = (on_device(batch, task.device) for batch in loaders[stage])
        predictions, targets = zip(*(task.select(task(batch), batch, stage) for batch in batches), strict=True)
        return torch.cat(predictions), torch.cat(targets)

    def outputs(rounding: Collection[str]) -> Outputs:
        with rounding_only(task, rounding):
            return {stage: outputs_of_stage(stage) for stage in STAGES}

    floats = outputs(())
    found = {EVERYTHING: SiteCosts(cost_of(task, outputs(sites), floats), cost_of(task, floats, floats))}
    for site in sites:
        others = [name for name in sites if name != site]
        found[site] = SiteCosts(cost_of(task, outputs([site]), floats), cost_of(task, outputs(others), floats))
    return found


def cost_of(task: GraphTask, rounded: Outputs, floats: Outputs) -> Cost:
    """Compares the outputs of a network that rounds with those of the same network in floats; see `Cost`."""
    computed, expected = (torch.cat([side[stage][0] for stage in STAGES]).flatten(1) for side in (rounded, floats))
    share = task.target.agreement(expected, computed)
    computed, expected = map(task.target.comparable, (computed, expected))
    error = 100 * float((computed - expected).norm() / expected.norm())
    return Cost(error, nan if share is None else 100 * share, *(metric_of(task, *rounded[stage]) for stage in STAGES))


def metric_of(task: GraphTask, predictions: Tensor, targets: Tensor) -> float:
    """The task's first metric, in the unit of tables."""
    metric = task.make_metric().to(predictions.device)
    metric.update(predictions, targets)
    return METRICS[task.metric_names[0]][1] * float(metric.compute())
