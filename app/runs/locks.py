"""Locks: one process at a time holds a folder, among processes of one host or of many.

The lock is one of the operating system, on the file `.lock` in the folder. It ends with its holder, however that ends,
and needs no clock; a suspended holder keeps it, so nobody else writes where it goes on when it wakes. So it was in
trials: kill -9 of a holder, also of one with forked workers; SIGSTOP; two hosts (namespaces of their own) on one
folder; files with times in the future or foreign content. Hosts that share a folder need a file system that shares
locks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from app.errors import UserError

NAME = ".lock"
PATIENCE = 0.2
"""Seconds for which a lock is tried: who asks whether a folder is held has it for a moment."""


class TakenError(UserError):
    """Another process holds the folder."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds a folder for this process during the block; creates it where it is not there.

    Raises:
        TakenError: if another process holds it.
        OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / NAME, timeout=PATIENCE)
    try:
        lock.acquire(poll_interval=PATIENCE / 10)
    except Timeout:
        raise TakenError(f"{folder}: another process is training this run; wait or end it") from None
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder. Writes nothing, so it also works where nothing can be written."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
