"""The command line of the engine: shows, checks, warms up and runs programs.

What a user did wrong is one sentence and exit code 2; memory that does not suffice is one too, and exit code 1. SIGINT
and SIGTERM end a command in order, with exit code 130.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn

from .. import CPU
from .streams import prepare_streams

EXIT_FAILURE, EXIT_USER_ERROR, EXIT_STOPPED = 1, 2, 130

DIGITS = 18
"""Of a count at most: Python reads no number of thousands."""

COMMANDS: Mapping[str, tuple[str, str]] = {
    "info": ("describe", "shows what a program computes, what it reads and writes, its size and its origin"),
    "check": ("check", "reads a program and compares its results here with the reference, on generated inputs"),
    "warmup": ("warmup", "compiles what programs need for every kind of input, so that first calls are fast"),
    "cold": ("cold", "measures first calls where nothing is compiled yet, each in a process of its own"),
    "run": ("run", "runs a program on the arrays of a file"),
}
"""Name of a command -> the module whose `run` does it, imported when it is called, and what it does."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR)


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text[: 2 * DIGITS]!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    package = __name__.rpartition(".")[0]
    parser = _Parser(prog=f"python -m {package}", description="Runs integer programs of graph neural networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        many = "+" if name in ("warmup", "cold") else None
        command.add_argument("program", nargs=many, metavar="PROGRAM", help="folder of a program, or its manifest")
        if name in ("check", "warmup", "run"):
            command.add_argument(
                "--device", default=CPU, metavar="NAME", help=f"{CPU} (default), or cuda or cuda:N: a GPU"
            )
        if name in ("warmup", "run"):
            command.add_argument("--threads", type=_count, metavar="N", help="threads of a call on a CPU (default: 1)")
    files = commands.choices["run"]
    files.add_argument("--input", required=True, metavar="FILE.npz", help="x, edge_index and, for a batch, batch")
    files.add_argument("--output", required=True, metavar="FILE.npz", help="gets an array, logits")
    files.add_argument(
        "--max-graphs", type=_count, metavar="N", help="more are refused (default: a million, or as many as nodes)"
    )
    return parser


def check_options(options: argparse.Namespace) -> None:
    """Raises ValueError if one option has no effect beside another."""
    if getattr(options, "device", CPU) != CPU and getattr(options, "threads", None):
        raise ValueError(f"--threads counts threads of the CPU: leave it out with --device {options.device}")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Has SIGINT and SIGTERM raise KeyboardInterrupt, and sees to it that this is what leaves the block.

    A library that is stopped amid its work may raise an error of its own in place of it, as numba does.
    """
    if current_thread() is not main_thread():  # where no signal arrives
        yield
        return
    stopped = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as problem:
        if stopped:
            raise KeyboardInterrupt from problem
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    Args:
        arguments: the words behind the name of the package; by default those of the process.
    """
    prepare_streams()
    options = parser().parse_args(arguments)
    try:
        check_options(options)
        with _stopped_by_signals():
            run: Callable[[argparse.Namespace], None] = import_module(f".{COMMANDS[options.command][0]}", __name__).run
            run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_STOPPED
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except MemoryError as problem:
        print(f"error: {problem or 'there is not enough memory'}", file=sys.stderr)
        return EXIT_FAILURE
    except OSError as problem:  # of standard output itself
        where = f"{problem.filename}: " if problem.filename else ""
        print(f"error: {where}{problem.strerror or problem}", file=sys.stderr)
        return EXIT_USER_ERROR
    return 0
