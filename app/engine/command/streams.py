"""Standard output and error that end no command: closed early, closed from the start, or of another encoding."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Stream(io.TextIOWrapper):
    """A text stream onto a file descriptor of the process.

    When nobody reads it any more (`| head`), what is written goes nowhere, and the command goes on. What its encoding
    lacks is written as an escape.

    Args:
        other: the stream that this one takes the place of.
        label: its name in messages.
    """

    def __init__(self, other: io.TextIOWrapper, label: str) -> None:
        encoding, lines, unbuffered = other.encoding, other.line_buffering, other.write_through  # PYTHONUNBUFFERED
        super().__init__(other.detach(), encoding, "backslashreplace", line_buffering=lines, write_through=unbuffered)
        self.label, self.failed = label, False

    def write(self, text: str) -> int:
        """Writes a text; raises OSError with the name of the stream, as where a disk is full."""
        with self._named():
            return super().write(text)

    def flush(self) -> None:
        """Writes what waits; raises as `write` does, but once: Python tries again when it ends."""
        if not self.failed:
            with self._named():
                super().flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            pass
        except OSError as problem:
            problem.filename, self.failed = self.label, True
            raise


def prepare_streams() -> None:
    """Makes standard output and error such streams, where they are those that the process was started with."""
    for name, label in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name)
        if stream is None:  # closed: nothing else may get its number
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__") and type(stream) is io.TextIOWrapper:
            replaced = Stream(stream, label)
            setattr(sys, name, replaced)
            setattr(sys, f"__{name}__", replaced)
