"""The runner of a cluster: Ray starts each item's process on a node that has its processors free."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import torch

from app.cli.process import prepare_process
from app.errors import UserError
from app.grids.runners import Item, Result, Work

try:
    import ray
    from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError
except ImportError:
    raise UserError("--ray needs Ray: python -m pip install -e '.[cluster]'") from None

ATTEMPTS = 5
"""Processes that an item is given to, one after another, as they are lost."""

PATIENCE = 10.0
"""Seconds for which the head of a cluster is tried; Ray itself would try for minutes."""

OURS = "DEGREE_QUANT_"
"""Environment variables that begin so hold on all nodes as they do here."""


class Cluster:
    """Does work on a cluster of Ray: one task an item.

    All nodes have this project with its environment, the working directory, and the folders that are named, by the same
    paths. What the tasks print is in Ray's logs.

    Args:
        address: of the cluster; `auto`: of the one that this machine is a node of.
        cpus, gpus: of one item.
        shared: the folder into which all nodes write; None: they share none.

    Raises:
        UserError: if there is no such cluster, or no node has as much as one item needs.
    """

    def __init__(self, address: str, *, cpus: int, gpus: float, shared: Path | None) -> None:
        self.cpus, self.gpus, self.shared = cpus, gpus, shared
        join(address)
        self.jobs = sum(map(self._fitting, nodes()))
        if not self.jobs:
            largest = max(nodes(), key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
            has = f"{largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs"
            wanted = f"--cpus-per-run {cpus}" + (f" --gpus-per-run {gpus:g}" if gpus else "")
            raise UserError(f"{wanted}: no node of the cluster has as many (the largest: {has})")

    def _fitting(self, node: dict[str, float]) -> int:
        fitting = node.get("CPU", 0) // self.cpus
        return int(min(fitting, node.get("GPU", 0) // self.gpus) if self.gpus else fitting)

    def run(self, work: Work) -> None:
        """Does all of the work.

        Raises:
            UserError: as `Runner.run`; also if a node does not have the folders of this process.
        """
        with seen_by_all(self.shared) as token:
            try:
                work(partial(self._spread, token=token))
            finally:
                ray.shutdown()  # ends what is still at work, or waits to begin, while the file is there

    def _spread(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, token: Path | None
    ) -> Iterator[tuple[Item, Result]]:
        variables = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
        surroundings = Surroundings(Path.cwd(), token, self.cpus)
        task: Any = ray.remote(on_node).options(
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_retries=0,  # below, where it is told
            runtime_env={"env_vars": {**variables, "OMP_NUM_THREADS": str(self.cpus)}},
        )
        running = {task.remote(item, function, surroundings): item for item in items}
        lost: Counter[Item] = Counter()
        while running:
            (ended,), _ = ray.wait(list(running), num_returns=1)
            item = running.pop(ended)
            try:
                result = ray.get(ended)
            except RayTaskError as problem:
                raise what_went_wrong(problem) from problem
            except RuntimeEnvSetupError as problem:
                raise UserError(f"--ray: a node cannot start tasks: {first_line(problem)}") from problem
            except RayError as problem:
                lost[item] += 1
                if lost[item] < ATTEMPTS:
                    print(f"{item}: its process or node was lost; it goes on in another one", file=sys.stderr)
                    running[task.remote(item, function, surroundings)] = item
                else:
                    print(f"{item}: given up ({first_line(problem)})", file=sys.stderr)
            else:
                yield item, result
        if given_up := [item for item, times in lost.items() if times == ATTEMPTS]:
            raise UserError(
                f"--ray: {', '.join(map(str, given_up))}: {ATTEMPTS} processes or nodes were lost; memory may have "
                "run out there: with more --cpus-per-run fewer run side by side"
            )


def join(address: str) -> None:
    """Makes this process the driver of a job on a cluster.

    Raises:
        UserError: if there is none at the address.
    """
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal() and "/" not in host:
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as problem:
        raise UserError(
            f"--ray {address}: no cluster that this machine is a node of ({first_line(problem)}); "
            "see `ray start` and `ray status`"
        ) from problem


def nodes() -> list[dict[str, float]]:
    """Returns what each node of the cluster has: `CPU`, `GPU` and others."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


@contextmanager
def seen_by_all(folder: Path | None) -> Iterator[Path | None]:
    """Yields a file in a folder, by which a node sees that its folder is the same one; None without a folder."""
    if folder is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix=".shared-") as file:
        yield Path(file.name).absolute()


@dataclass(frozen=True)
class Surroundings:
    """What a process of Ray takes over from the one that asks.

    Attributes:
        folder: in which it works.
        token: a file that it has to see; None: any node will do.
        threads: of the processor.
    """

    folder: Path
    token: Path | None
    threads: int

    def enter(self) -> None:
        """Makes this process as the one that asks.

        Raises:
            UserError: if this node does not have its folders.
        """
        try:
            os.chdir(self.folder)
            if self.token:
                self.token.stat()
        except OSError:
            missing = self.token.parent if self.token and self.folder.is_dir() else self.folder
            told = f"--ray: node {socket.gethostname()} does not see {missing}"
            raise UserError(f"{told}: all nodes have to share it, by the same path") from None
        prepare_process()
        torch.set_num_threads(self.threads)


def on_node(item: Item, function: Callable[[Item], Result], surroundings: Surroundings) -> Result:
    """Applies a function to an item in a process of Ray, as in a process of this machine."""
    surroundings.enter()
    return function(item)


def what_went_wrong(problem: Any) -> BaseException:
    """Returns the exception of a task, as it was raised on its node."""
    cause = problem.cause
    if isinstance(cause, ModuleNotFoundError):
        return UserError(f"--ray: a node lacks the package {cause.name!r}: all need this project with its environment")
    return cause if isinstance(cause, BaseException) else RuntimeError(str(problem))


def first_line(problem: BaseException) -> str:
    """Returns the first line of what an exception says."""
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)
