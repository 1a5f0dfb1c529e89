"""The data sets of the cells, each as a data module that `data` and `describe` look at."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import datamodules
from app.config.cells import all_cells, available
from app.errors import UserError
from datamodules import GraphDataModule

DATASETS: Mapping[str, Callable[[], GraphDataModule]] = {
    "synthetic": datamodules.SyntheticDataModule,
    "digits": datamodules.DigitsDataModule,
    "cora": lambda: datamodules.CitationDataModule("Cora"),
    "citeseer": lambda: datamodules.CitationDataModule("Citeseer"),
    "mnist": lambda: datamodules.SuperpixelDataModule("MNIST"),
    "cifar10": lambda: datamodules.SuperpixelDataModule("CIFAR10"),
    "zinc": datamodules.ZincDataModule,
    "reddit_binary": datamodules.RedditBinaryDataModule,
}
"""Makes the data module of a data set; by the names that cells use."""

PUBLISHED: Mapping[str, str] = {
    "cora": "published: 2,708 nodes, 10,556 edges",
    "citeseer": "published: 3,327 nodes, 9,104 edges",
    "mnist": "published: 70.6 nodes (40-75), 564.5 edges",
    "cifar10": "published: 117.6 nodes (85-150), 941.2 edges",
    "zinc": "published: 23.2 nodes (9-37), 49.8 edges",
    "reddit_binary": "published: 429.6 nodes, 995.5 edges",
}
"""Counts of a graph. Tailor et al. 2021, Table 7; edges of superpixels and ZINC: PyG's documentation."""


def select_datasets(names: Sequence[str]) -> list[str]:
    """Returns the names after checking them; those of our own data sets if there are none.

    Raises:
        UserError: for a name that no cell has.
    """
    there = available("dataset")
    for name in names:
        if name not in there:
            close = get_close_matches(name, there, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(there)}"
            raise UserError(f"no data set {name!r}; {hint}")
    return list(names) or list(DATASETS)


def make(name: str, changes: Sequence[str]) -> GraphDataModule:
    """Returns the data module of a data set: one of our own, or that of its first cell with changed settings."""
    if name in DATASETS and not changes:
        return DATASETS[name]()
    from app.data.describe import build  # imports Lightning, which our own data sets do without

    cell = next(cell for cell in all_cells() if (cell.dataset, cell.scheme) == (name, "fp32"))
    return build(cell, changes).datamodule


def use_folders(options: argparse.Namespace) -> None:
    """Makes --data-root and --cache the folders of all data modules of this process.

    Raises:
        UserError: if the data root does not exist.
    """
    if options.data_root and not Path(options.data_root).is_dir():
        raise UserError(f"--data-root {options.data_root}: no such folder")
    for variable, folder in (("DEGREE_QUANT_DATA", options.data_root), ("DEGREE_QUANT_CACHE", options.cache)):
        if folder:
            os.environ[variable] = folder
