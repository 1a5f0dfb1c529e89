"""`data`: says which raw data is there, what is missing and where it belongs; prepares and verifies it."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rich.console import Console

from app.cli.console import standard_output
from app.cli.words import words_of
from app.data.counts import count, mean_and_range
from app.data.datasets import PUBLISHED, make, select_datasets, use_folders
from app.errors import EXIT_USER_ERROR
from datamodules import DataError, GraphDataModule


def data(options: argparse.Namespace, rest: list[str]) -> int:
    """Runs the command: `status`, `prepare` or `verify`, of data sets with settings that change them."""
    names = select_datasets(options.names)
    use_folders(options)
    changes = words_of(options, rest)
    sources = [Source(name, shlex.join([name, *changes]), make(name, changes)) for name in names]
    actions = {"status": status, "prepare": prepare, "verify": verify}
    return actions[options.action](sources, standard_output(soft_wrap=True, highlight=False))


class Source(NamedTuple):
    """A data set by the name that cells use, the words that name it on the command line, and its data module."""

    name: str
    words: str
    datamodule: GraphDataModule


def status(sources: Iterable[Source], console: Console) -> int:
    """Prints what is there, and of missing files where to get them and where to put them."""
    for name, words, datamodule in sources:
        if missing := datamodule.missing():
            console.print(f"{name:14} missing: put", *(f"{'':16} {file}" for file in missing), sep="\n")
        elif pending := datamodule.pending():
            console.print(f"{name:14} {pending}: train.py data prepare {words}")
        else:
            console.print(f"{name:14} ready")
    return 0


def prepare(sources: Iterable[Source], console: Console) -> int:
    """Downloads what can be downloaded, and builds graphs."""

    def act(source: Source) -> None:
        source.datamodule.prepare_data()
        console.print(f"{source.name:14} ready")

    return act_on_each(sources, console, act)


def verify(sources: Iterable[Source], console: Console) -> int:
    """Checks files and counts, and prints the counts beside the published ones."""

    def act(source: Source) -> None:
        name, words, datamodule = source
        if missing := datamodule.missing():
            raise DataError(f"{len(missing)} files are missing: train.py data status {words}")
        if pending := datamodule.pending():
            raise DataError(f"{pending}: train.py data prepare {words}")
        datamodule.setup("test")
        console.print(f"{name:14} {summary(datamodule)}")
        if notes := list(filter(None, [PUBLISHED.get(name), datamodule.substitute])):
            console.print(f"{'':14} {'; '.join(notes)}")

    return act_on_each(sources, console, act)


def act_on_each(sources: Iterable[Source], console: Console, act: Callable[[Source], None]) -> int:
    """Acts on every data set and returns the exit code; a DataError of one is printed and does not stop the others."""
    code = 0
    for source in sources:
        try:
            act(source)
        except DataError as error:
            console.print(f"{source.name:14} {error}")
            code = EXIT_USER_ERROR
    return code


def summary(datamodule: GraphDataModule) -> str:
    """The counts of a loaded data set in one line."""
    nodes, edges, split = count(datamodule)
    return (
        f"{len(nodes):,} graphs ({split}): {mean_and_range(nodes)} nodes, {edges.double().mean():,.1f} edges, "
        f"{datamodule.num_features:,} features, {datamodule.num_classes} classes"
    )
