"""A process of its own for what is measured, so that nothing done before has a part in it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import ParamSpec, TypeVar
from unittest.mock import patch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ProcessLostError(RuntimeError):
    """A process ended before it had answered: it was killed, for want of memory perhaps."""


class OwnProcess:
    """A new process that calls functions for this one; it ends with the `with` block, and when this process is gone.

    It is reached by a pipe, so a kill leaves nothing behind; the queues of an executor have semaphores, which stay.

    Args:
        environment: variables that it has beside those of this process.
    """

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, other_end = spawn.Pipe()
        self._process = spawn.Process(target=_answer, args=(other_end,), daemon=True)
        with patch.dict(os.environ, environment):
            self._process.start()
        other_end.close()

    def __enter__(self) -> OwnProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    def call(self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Returns the result of a function there.

        Raises:
            ProcessLostError: if the process ends meanwhile.
            Exception: what the function raises.
        """
        try:
            self._pipe.send((function, args, kwargs))
            result, error = self._pipe.recv()
        except (EOFError, OSError) as lost:
            raise ProcessLostError("a process that measures ended before it had answered") from lost
        if error is not None:
            raise error
        found: Result = result
        return found


def _answer(pipe: Connection) -> None:
    """Calls the functions that come through the pipe, until nobody is at its other end or an interrupt comes."""
    answer: tuple[object, Exception | None]
    try:
        while True:
            function, args, kwargs = pipe.recv()
            try:
                answer = function(*args, **kwargs), None
            except Exception as error:
                answer = None, error
            pipe.send(answer)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
