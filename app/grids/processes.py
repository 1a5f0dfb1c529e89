"""The runner of this machine: this process, or several worker processes."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence

import torch

from app.cli.process import prepare_process
from app.errors import UserError
from app.grids.runners import Item, Result, Work
from datamodules.processes import end_with_parent


class Processes:
    """Does work in this process, or in several, each of which does all of it that no other one has claimed.

    The workers end when this process ends, even if it is killed. What a worker that was killed (out of memory, perhaps)
    left undone is done here.

    Args:
        jobs: number of processes.
        threads: of each.
    """

    def __init__(self, jobs: int, threads: int) -> None:
        self.jobs, self.threads = jobs, threads

    def run(self, work: Work) -> None:
        """Does all of the work."""
        if self.jobs > 1 and not self._run_in_workers(work):
            return
        torch.set_num_threads(self.threads)
        work(one_by_one)

    def _run_in_workers(self, work: Work) -> bool:
        """Does the work in worker processes; returns whether some of it may be left."""
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=worker_main, args=(work, self.threads), daemon=True) for _ in range(self.jobs)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if killed := [-worker.exitcode for worker in workers if worker.exitcode is not None and worker.exitcode < 0]:
            told = f"{len(killed)} of {self.jobs} workers were killed (signal {killed[0]}; memory may have run out)"
            print(f"{told}: what they left undone is done here", file=sys.stderr)
        return any(worker.exitcode for worker in workers)


def worker_main(work: Work, threads: int) -> None:
    """Does all of the work in a worker process, and ends when the parent process ends."""
    prepare_process()
    end_with_parent()
    torch.set_num_threads(threads)
    try:
        work(one_by_one)
    except (KeyboardInterrupt, UserError):  # the parent does the work again, and reports what is wrong
        raise SystemExit(1) from None


def one_by_one(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
    """Applies a function to items in this process, one after another."""
    for item in items:
        yield item, function(item)
