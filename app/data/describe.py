"""`describe`: prints networks, parameters and data sets, as in Tables 5 to 7 of Tailor et al. 2021."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from app.cli.console import standard_output
from app.cli.words import parse, words_of
from app.config.cells import Cell, all_cells
from app.config.lightning_cli import CellCLI
from app.data.counts import count, mean_and_range
from app.data.datasets import select_datasets, use_folders
from app.errors import UserError
from app.runs.experiment import Experiment
from datamodules import DataError, GraphDataModule
from models.architectures import Architecture
from models.architectures.network import Network

SHOWN = ("data", "model.architecture", "model.network")
"""What a setting begins with that changes networks or data sets."""


def describe(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: prints a table of networks, with settings that change them, and a table of data sets.

    Raises:
        UserError: for a word that sets something else.
    """
    names = select_datasets(options.names)
    use_folders(options)
    console = standard_output()
    for word in parse(rest):
        if word.is_option and word.key != "model" and not word.key.startswith(SHOWN):  # data may need another task
            raise UserError(f"{word.key}: has no effect: `describe` shows networks and data sets; leave it out")
    changes = words_of(options, rest)
    built = [(cell, build(cell, changes)) for cell in all_cells() if cell.scheme == "fp32" and cell.dataset in names]
    console.print(network_table(built))
    datamodules = {cell.dataset: made.datamodule for cell, made in built}
    console.print(dataset_table({name: datamodules[name] for name in names}))
    return 0


def build(cell: Cell, changes: Sequence[str]) -> CellCLI:
    """Builds the untrained network and the data module of a cell with changed settings (words of the command line)."""
    with tempfile.TemporaryDirectory() as folder:
        return Experiment.of_cell(cell, 0, overrides=changes).build(Path(folder))


def network_table(built: Iterable[tuple[Cell, CellCLI]]) -> Table:
    """Tables 5 and 6: the network of every cell, as it is built. One of one's own has one row for each data set."""
    table = Table("data set", "network", "layers", "width", "details", "parameters", title="Networks (Tables 5 and 6)")
    own: set[str] = set()
    for cell, made in built:
        network: Network = made.model.network
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


def dataset_table(datamodules: Mapping[str, GraphDataModule]) -> Table:
    """Table 7: counts of the data sets as loaded; of one that is not here, how to get it."""
    headings = ("data set", "graphs", "train/val/test", "nodes", "edges", "features", "classes")
    table = Table(*headings, title="Data sets (Table 7); nodes and edges of a graph: mean (smallest-largest)")
    for name, datamodule in datamodules.items():
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
