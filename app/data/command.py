"""`data`: says which raw data is there, what is missing and where it belongs; prepares and verifies it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from rich.console import Console

from app.cli.console import standard_output
from app.data.counts import count, mean_and_range
from app.data.datasets import DATASETS, PUBLISHED, select_datasets, use_folders
from app.errors import EXIT_USER_ERROR
from datamodules import DataError, GraphDataModule


def data(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: `status`, `prepare` or `verify`."""
    names = select_datasets(options.names)
    use_folders(options)
    actions = {"status": status, "prepare": prepare, "verify": verify}
    return actions[options.action](names, standard_output(soft_wrap=True, highlight=False))


def status(names: Iterable[str], console: Console) -> int:
    """Prints what is there, and of missing files where to get them and where to put them."""
    for name in names:
        datamodule = DATASETS[name]()
        if missing := datamodule.missing():
            console.print(f"{name:14} missing: put", *(f"{'':16} {file}" for file in missing), sep="\n")
        elif pending := datamodule.pending():
            console.print(f"{name:14} {pending}: train.py data prepare {name}")
        else:
            console.print(f"{name:14} ready")
    return 0


def prepare(names: Iterable[str], console: Console) -> int:
    """Downloads what can be downloaded, and builds graphs."""

    def act(name: str) -> None:
        DATASETS[name]().prepare_data()
        console.print(f"{name:14} ready")

    return act_on_each(names, console, act)


def verify(names: Iterable[str], console: Console) -> int:
    """Checks files and counts, and prints the counts beside the published ones."""

    def act(name: str) -> None:
        datamodule = DATASETS[name]()
        if missing := datamodule.missing():
            raise DataError(f"{len(missing)} files are missing: train.py data status {name}")
        if pending := datamodule.pending():
            raise DataError(f"{pending}: train.py data prepare {name}")
        datamodule.setup("test")
        console.print(f"{name:14} {summary(datamodule)}")
        if notes := list(filter(None, [PUBLISHED.get(name), datamodule.substitute])):
            console.print(f"{'':14} {'; '.join(notes)}")

    return act_on_each(names, console, act)


def act_on_each(names: Iterable[str], console: Console, act: Callable[[str], None]) -> int:
    """Acts on every data set and returns the exit code; a DataError of one is printed and does not stop the others."""
    code = 0
    for name in names:
        try:
            act(name)
        except DataError as error:
            console.print(f"{name:14} {error}")
            code = EXIT_USER_ERROR
    return code


def summary(datamodule: GraphDataModule) -> str:
    """The counts of a loaded data set in one line."""
    nodes, edges, split = count(datamodule)
    return (
        f"{len(nodes):,} graphs ({split}): {mean_and_range(nodes)} nodes, {edges.double().mean():,.1f} edges, "
        f"{datamodule.num_features:,} features, {datamodule.num_classes} classes"
    )
