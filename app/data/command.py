"""`data`: what raw data is there, what is missing and where it belongs; preparing and verifying it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

import datamodules
from app.cli.console import standard_output
from app.errors import EXIT_USER_ERROR, UserError
from datamodules import BatchedDataModule, DataError, FullBatchDataModule, GraphDataModule

DATAMODULES: dict[str, Callable[[], GraphDataModule]] = {
    "synthetic": datamodules.SyntheticDataModule,
    "digits": datamodules.DigitsDataModule,
    "cora": lambda: datamodules.CitationDataModule("Cora"),
    "citeseer": lambda: datamodules.CitationDataModule("Citeseer"),
    "mnist": lambda: datamodules.SuperpixelDataModule("MNIST"),
    "cifar10": lambda: datamodules.SuperpixelDataModule("CIFAR10"),
    "zinc": datamodules.ZincDataModule,
    "reddit_binary": datamodules.RedditBinaryDataModule,
}
"""By the names cells have."""

PUBLISHED = {
    "cora": "published: 2,708 nodes, 10,556 edges",
    "citeseer": "published: 3,327 nodes, 9,104 edges",
    "mnist": "published: 70.6 nodes (40-75), 564.5 edges",
    "cifar10": "published: 117.6 nodes (85-150), 941.2 edges",
    "zinc": "published: 23.2 nodes (9-37), 49.8 edges",
    "reddit_binary": "published: 429.6 nodes, 995.5 edges",
}
"""Of a graph. Tailor et al. 2021, Table 7; edges of superpixels and ZINC: PyG's documentation."""


def data(options: argparse.Namespace, rest: list[str]) -> int:
    """The command."""
    names = chosen(options.names)
    use_folders(options)
    actions = {"status": status, "prepare": prepare, "verify": verify}
    return actions[options.action](names, standard_output(soft_wrap=True, highlight=False))


def use_folders(options: argparse.Namespace) -> None:
    """Makes --data-root and --cache the folders of this process.

    Raises:
        UserError: if there is no such data root.
    """
    if options.data_root and not Path(options.data_root).is_dir():
        raise UserError(f"--data-root {options.data_root}: no such folder")
    for variable, folder in (("DEGREE_QUANT_DATA", options.data_root), ("DEGREE_QUANT_CACHE", options.cache)):
        if folder:
            os.environ[variable] = folder


def chosen(names: list[str]) -> list[str]:
    """The data sets with these names, all if there are none.

    Raises:
        UserError: for a name there is not.
    """
    for name in names:
        if name not in DATAMODULES:
            close = get_close_matches(name, DATAMODULES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(DATAMODULES)}"
            raise UserError(f"no data set {name!r}; {hint}")
    return names or list(DATAMODULES)


def status(names: list[str], console: Console) -> int:
    """What is there; what is missing, where to get it and where to put it."""
    for name in names:
        datamodule = DATAMODULES[name]()
        if missing := datamodule.missing():
            console.print(f"{name:14} missing: put", *(f"{'':16} {file}" for file in missing), sep="\n")
        elif pending := datamodule.pending():
            console.print(f"{name:14} {pending}: train.py data prepare {name}")
        else:
            console.print(f"{name:14} ready")
    return 0


def prepare(names: list[str], console: Console) -> int:
    """Downloads what can be, and builds graphs."""

    def act(name: str) -> None:
        DATAMODULES[name]().prepare_data()
        console.print(f"{name:14} ready")

    return each(names, console, act)


def verify(names: list[str], console: Console) -> int:
    """Checks files and counts, and prints the counts beside the published ones."""

    def act(name: str) -> None:
        datamodule = DATAMODULES[name]()
        if missing := datamodule.missing():
            raise DataError(f"{len(missing)} files are missing: train.py data status {name}")
        if pending := datamodule.pending():
            raise DataError(f"{pending}: train.py data prepare {name}")
        datamodule.setup("test")
        console.print(f"{name:14} {summary(datamodule)}")
        if notes := list(filter(None, [PUBLISHED.get(name), datamodule.substitute])):
            console.print(f"{'':14} {'; '.join(notes)}")

    return each(names, console, act)


def each(names: Iterable[str], console: Console, act: Callable[[str], None]) -> int:
    """Acts on every data set; what one of them lacks does not stop the others, but is the exit code."""
    code = 0
    for name in names:
        try:
            act(name)
        except DataError as error:
            console.print(f"{name:14} {error}", markup=False)
            code = EXIT_USER_ERROR
    return code


def summary(datamodule: GraphDataModule) -> str:
    """Counts of a data set that is loaded."""
    sizes, edges, split = counts(datamodule)
    return (
        f"{len(sizes):,} graphs ({split}): {spread(sizes)} nodes, {edges.double().mean():,.1f} edges, "
        f"{datamodule.num_features:,} features, {datamodule.num_classes} classes"
    )


def counts(datamodule: GraphDataModule) -> tuple[Tensor, Tensor, str]:
    """Nodes and edges of every graph [G], and the sizes of the split."""
    if isinstance(datamodule, BatchedDataModule):
        assert datamodule.store is not None
        return datamodule.store.num_nodes, datamodule.store.num_edges, str(datamodule.split)
    assert isinstance(datamodule, FullBatchDataModule)
    graph = datamodule.graph_data
    assert graph is not None
    split = "/".join(str(int(graph[f"{part}_mask"].sum())) for part in ("train", "val", "test"))
    return torch.tensor([graph.num_nodes]), torch.tensor([graph.num_edges]), split


def spread(sizes: Tensor) -> str:
    """Mean, and smallest to largest where they differ."""
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low:,}" if low == high else f"{sizes.double().mean():,.1f} ({low:,}-{high:,})"
