"""Figures 1 and 3 of the paper as tables by in-degree: nodes of the data sets, and aggregates of a trained network."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from app.cli.process import prepare_process
from app.config.grids import Grid, Slot
from app.config.lightning_cli import CellCLI
from app.errors import UserError
from app.reports.rows import Rows
from app.runs.experiment import Experiment
from app.runs.loading import load_run
from app.runs.predictions.degrees import bin_name, degree_bin
from app.runs.run_folder import Run
from models.quantization.fake_quantize import NamedPlace
from models.quantization.protection import in_degree


def rows_by_degree(grid: Grid, root: Path) -> Rows:
    """Returns the table behind the figure that a grid asks for."""
    prepare_process()
    return {"in_degree": degree_rows, "aggregation": aggregation_rows}[str(grid.figure)](grid, root)


def degree_rows(grid: Grid, root: Path) -> Rows:
    """Counts the nodes of every data set by in-degree, with their percentage."""
    rows = [["dataset", "in-degree", "nodes", "%"]]
    for slot in {slot.cell.dataset: slot for slot in grid.slots}.values():
        built = Experiment.of_cell(slot.cell, 0, overrides=slot.overrides).build(root)
        counts = sum_by_bin([(bins, torch.ones(len(bins), 1)) for bins in bins_of(built)])
        total = sum(count for count, _, _ in counts.values())
        for number, (count, _, _) in counts.items():
            rows.append([slot.cell.dataset, bin_name(number), str(count), f"{100 * count / total:.3g}"])
    return rows


def aggregation_rows(grid: Grid, root: Path) -> Rows:
    """Returns mean and variance, over nodes and features, of the output of every layer's aggregation by in-degree."""
    rows = [["network", "layer", "in-degree", "nodes", "mean", "variance"]]
    for slot in grid.slots:
        for name, counts in aggregation(load_run(first_run(slot, root))).items():
            for number, (count, mean, variance) in counts.items():
                rows.append([slot.row, name, bin_name(number), str(count), f"{mean:.4g}", f"{variance:.4g}"])
    return rows


def first_run(slot: Slot, root: Path) -> Run:
    """Returns the finished run of the lowest seed.

    Raises:
        UserError: if there is none.
    """
    runs = [Run.of(root, slot.name, seed) for seed in slot.seeds]
    finished = next((run for run in runs if run.state == "finished"), None)
    if finished is None:
        raise UserError(f"{root / slot.name}: no finished run here; `train.py reproduce` makes it")
    return finished


def bins_of(built: CellCLI) -> list[Tensor]:
    """Returns [N] the number of every node's bin, of all graphs of the data set (of its splits, if in batches)."""
    data = built.datamodule
    data.prepare_data()
    data.setup("fit")
    full = getattr(data, "graph_data", None)
    batches = [full] if full is not None else [b for loader in (data.train_dataloader(), data.val_dataloader(),
                                                                data.test_dataloader()) for b in loader]  # fmt: skip
    return [degree_bin(in_degree(batch.edge_index, batch.num_nodes)) for batch in batches]


@torch.no_grad()
def aggregation(built: CellCLI) -> dict[str, dict[int, tuple[int, float, float]]]:
    """Returns, by place `*.aggregate`, the nodes of every bin and mean and variance of the output on the test data."""
    built.datamodule.prepare_data()
    built.datamodule.setup("predict")
    sites = {
        name.removeprefix("network."): module
        for name, module in built.model.named_modules()
        if isinstance(module, NamedPlace) and module.role == "aggregate"
    }
    seen: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for batch in built.datamodule.predict_dataloader():
        bins = degree_bin(in_degree(batch.edge_index, batch.num_nodes))
        hooks = [
            site.register_forward_hook(
                lambda _m, _i, out, name=name, bins=bins: seen[name].append((bins, out.to_dense().flatten(1)))
            )
            for name, site in sites.items()
        ]
        built.model(batch)
        for hook in hooks:
            hook.remove()
    return {name: sum_by_bin(parts) for name, parts in seen.items()}


def sum_by_bin(parts: list[tuple[Tensor, Tensor]]) -> dict[int, tuple[int, float, float]]:
    """Returns per bin: its nodes, and mean and variance of their values [N, F].

    The batches' sums are added up in double precision, so a data set need not fit in memory as one.
    """
    sums: dict[int, Tensor] = defaultdict(lambda: torch.zeros(4, dtype=torch.float64))
    for bins, values in parts:
        for number in torch.unique(bins).tolist():
            chosen = values[bins == number].double()
            sums[number] += torch.tensor(
                [len(chosen), chosen.numel(), chosen.sum(), chosen.square().sum()], dtype=torch.float64
            )
    return {
        number: (int(nodes), float(total / n), float(squares / n - (total / n) ** 2))
        for number, (nodes, n, total, squares) in sorted(sums.items())
    }
