"""Runners: what spreads work over processes, of this machine or of a cluster. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Applies a function to items, here or elsewhere."""

    def __call__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
        """Yields each item with its result, as they come."""


Work = Callable[[Spread], None]
"""What is to be done, given what spreads it. Several processes may do the same work at once, each all of it: who does
an item claims it, so that the others pass over it."""


class Runner(Protocol):
    """What spreads work over processes.

    Attributes:
        jobs: how many items are worked on at once, as far as is known.
    """

    jobs: int

    def run(self, work: Work) -> None:
        """Does all of the work.

        Raises:
            UserError: if the processes cannot work, or an item ended every process that it was given to.
        """


def runner_of(options: argparse.Namespace, shared: Path | None) -> Runner:
    """Returns the runner that the options of `add_runner` name.

    Args:
        shared: the folder into which all processes write; None: they share none.

    Raises:
        UserError: if there is no such cluster, or it has too little for one item.
    """
    if options.ray is None:
        from app.grids.processes import Processes

        return Processes(options.jobs, options.threads)
    from app.grids.cluster import Cluster

    return Cluster(options.ray, cpus=options.cpus_per_run, gpus=options.gpus_per_run, shared=shared)
