"""`describe`: prints networks, parameters and data sets, as in Tables 5 to 7 of Tailor et al. 2021."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from app.cli.console import standard_output
from app.config.cells import Cell, all_cells
from app.data.counts import count, mean_and_range
from app.data.datasets import DATASETS, select_datasets, use_folders
from app.runs.experiment import Experiment
from datamodules import DataError
from models.architectures import Architecture
from models.architectures.network import Network


def describe(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table of networks, with settings that change them, and a table of data sets."""
    names = select_datasets(options.names)
    use_folders(options)
    console = standard_output()
    console.print(network_table(names, rest))
    console.print(dataset_table(names))
    return 0


def network_table(names: Sequence[str], changes: Sequence[str] = ()) -> Table:
    """Tables 5 and 6: the network of every data set and architecture, built as its cell builds it.

    Args:
        changes: settings, as on the command line. A network of one's own has one row for each data set.
    """
    table = Table("data set", "network", "layers", "width", "details", "parameters", title="Networks (Tables 5 and 6)")
    own: set[str] = set()
    for cell in all_cells():
        if cell.scheme == "fp32" and cell.dataset in names:
            network = network_of(cell, changes)
            parameters = sum(parameter.numel() for parameter in network.parameters())
            row = cell.dataset, cell.architecture, str(network.num_masks), ""
            if isinstance(network, Architecture):
                row = *row[:3], str(network.width)
            elif cell.dataset in own:
                continue
            else:
                own.add(cell.dataset)
                row = cell.dataset, network.kind, *row[2:]
            table.add_row(*row, ", ".join(network.details()), f"{parameters:,}")
    return table


def network_of(cell: Cell, changes: Sequence[str]) -> Network:
    """Builds the untrained network of a cell with changed settings."""
    with tempfile.TemporaryDirectory() as folder:
        network: Network = Experiment.of_cell(cell, 0, overrides=changes).build(Path(folder)).model.network
    return network


def dataset_table(names: Sequence[str]) -> Table:
    """Table 7: counts of the data sets as loaded; of one that is not here, how to get it."""
    headings = ("data set", "graphs", "train/val/test", "nodes", "edges", "features", "classes")
    table = Table(*headings, title="Data sets (Table 7); nodes and edges of a graph: mean (smallest-largest)")
    for name in names:
        datamodule = DATASETS[name]()
        try:
            if datamodule.missing() or datamodule.pending():
                raise DataError(f"not here: train.py data status {name}")
            datamodule.setup("test")
        except DataError as error:
            table.add_row(name, str(error))
            continue
        nodes, edges, split = count(datamodule)
        widths = f"{datamodule.num_features:,}", str(datamodule.num_classes)
        table.add_row(name, f"{len(nodes):,}", split, mean_and_range(nodes), f"{edges.double().mean():,.1f}", *widths)
    return table
