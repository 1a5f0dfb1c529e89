"""Writes files atomically: whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

try:
    import fcntl
except ImportError:  # not on Windows: there, nothing is locked
    fcntl = None  # type: ignore[assignment]

PATIENCE = 60.0
"""Seconds that a process waits for another one that has locked a file; what is done under a lock takes a few."""

OUTPUTS: dict[Path, str] = {}
"""The files that the running command is going to write, each with the words by which the user named it."""


@contextmanager
def going_to_write(words: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Makes known during the block which files a command will write: pairs of option and file. It reads none."""
    OUTPUTS.update({Path(os.path.realpath(file)): f"{option} {file}" for option, file in words})
    try:
        yield
    finally:
        OUTPUTS.clear()


def output_at(path: Path) -> str | None:
    """Returns by which words the user named a file that the running command is going to write; None: it is none."""
    return OUTPUTS.get(Path(os.path.realpath(path))) if OUTPUTS else None


def write_atomically(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Writes a file whole or not at all, also if several processes write it at once; creates its folders.

    What is no regular file, such as a device, is not replaced. A symbolic link stays: what it leads to is written. A
    file that is replaced keeps who may read and write it.

    If the process is killed, either the old file or the new one is left. Text is written in UTF-8.

    Args:
        path: the file.
        content: bytes or text.
        durable: makes the write survive a loss of power too: the content is on disk before the old file is replaced.

    Raises:
        OSError: with the path as `filename`.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "Is a directory" if path.is_dir() else "Is not a regular file", str(path))
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            if target.exists():
                shutil.copymode(target, temporary)
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.errno:  # which names no file, or the temporary one
            problem.filename = str(path)
        raise


def unfinished(folder: Path, pattern: str) -> Iterator[Path]:
    """Yields the temporary files that killed writes left in a folder, of files whose names match a glob."""
    return folder.glob(f".{pattern}.{'[0-9a-f]' * 32}")


def lock(descriptor: int) -> None:
    """Locks an open file or folder until it is closed; waits while another process or thread has it locked.

    After PATIENCE, and where nothing can be locked, it goes on without: for work that may be done twice at once, but
    better is not.
    """
    if fcntl is None:
        return
    ends = monotonic() + PATIENCE
    with suppress(OSError):
        while monotonic() < ends:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sleep(0.02)
            else:
                return
