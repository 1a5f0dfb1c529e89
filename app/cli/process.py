"""The process of a command: what SIGTERM does, quiet libraries, freed memory kept for reuse, things done meanwhile."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, ExceptHookArgs, Thread, current_thread, main_thread
from types import FrameType

from app.engine.memory import keep_freed_memory
from app.errors import EXIT_STOPPED

QUIET = (
    "does not have many workers",
    "Sparse CSR tensor support is in beta",
    "Sparse invariant checks are implicitly disabled",
    "Checkpoint directory .* exists and is not empty",
    "Starting from v1.9.0, `tensorboardX` has been removed",
    "isinstance.treespec, LeafSpec.",
    "LightningCLI's args parameter is intended",
    "num_workers",
    "You are using `torch.load`",
    "The number of training batches",
    "GPU available but not used",
    "You have overridden `transfer_batch_to_device`",
    "Using `DistributedSampler` with the dataloaders",  # ours count every row once
    "The `srun` command is available",  # examples/reproduce.sbatch starts one process a task without it
)
"""Warnings of libraries that tell our users nothing they could act on."""

OBSERVER = "lightning_fabric.strategies.launchers.subprocess_script"
"""Says why it ends this process where another one that trains with it was killed; it says nothing else."""


def prepare_process() -> None:
    """Prepares this process; called after Lightning is imported, which sets the level of its own messages.

    `main` calls it for every command. Commands that import Lightning later call it again, and so do worker processes.
    """
    silence_libraries()
    warnings.formatwarning = one_line
    keep_freed_memory()
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = tell_unless_kept


def tell_unless_kept(problem: ExceptHookArgs) -> None:
    """Prints what ended a thread, unless it keeps that to raise it where it is waited for, as TensorBoard's do."""
    if getattr(problem.thread, "exception", None) is not problem.exc_value:
        threading.__excepthook__(problem)


@contextmanager
def sigterm_stops() -> Iterator[None]:
    """Lets SIGTERM, which is how schedulers and containers stop a command, do in the block what Ctrl-C does."""
    if current_thread() is not main_thread():  # where no signal arrives
        yield
        return
    handler = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def ended_by_signals(sentence: str) -> Iterator[None]:
    """Has SIGINT and SIGTERM end the process at once in a block that only imports modules and reads settings.

    Nothing is begun there that would have to be ended in order, and an exception would be lost in libraries that take
    any for their own. A signal that is ignored, as SIGINT is in the background, stays so.

    Args:
        sentence: what the process says then.
    """

    def end(number: int, frame: FrameType | None) -> None:
        tell_once(sentence)
        os._exit(EXIT_STOPPED)

    here = current_thread() is main_thread()  # elsewhere no signal arrives
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if here}
    taken = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def tell_once(sentence: str) -> None:
    """Prints a sentence on standard error, in the first of several processes: the others end with it."""
    if is_first():
        print(sentence, file=sys.stderr, flush=True)


def is_first() -> bool:
    """Whether this process is the only one of its command, or the first of those that train together on this host.

    `torchrun` and Lightning number them so.
    """
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def stop(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt, once: a second signal would end what the first one ends in order."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def meanwhile(action: Callable[[], object], *, every: float) -> Iterator[None]:
    """Does something in another thread, every so many seconds during the block."""
    done = Event()

    def repeat() -> None:
        while not done.wait(every):
            action()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def one_line(message: Warning | str, category: type[Warning], *place: object, **source: object) -> str:
    """Returns a warning as the line that is printed: without its place in our files."""
    return f"warning: {' '.join(str(message).split())}\n"


def silence_libraries() -> None:
    """Hides start-up messages of libraries; real warnings stay visible."""
    for message in QUIET:
        warnings.filterwarnings("ignore", message=f".*{message}.*")
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(OBSERVER).setLevel(logging.INFO)
