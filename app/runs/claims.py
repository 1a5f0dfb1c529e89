"""Claims: let one process at a time hold a folder, among processes of one host or of many, through crashes.

A claim is the file `.claim-<generation>` in the folder; the one of the highest generation counts. A process that finds
it given back or expired creates the next generation, exclusively, so that only one of many can. The highest claim is
never deleted, so that a process that looked earlier cannot create it again. The modification time of the claim is the
heartbeat of its holder (0: given back); its content describes the holder.
"""

from __future__ import annotations

import _thread
import json
import os
import platform
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from app.errors import UserError

PREFIX = ".claim-"
HEARTBEAT = 10.0
"""Seconds between signs of life."""

EXPIRY = 60.0
"""Seconds without a sign of life after which a claim expires. Holders that die on this host are noticed at once."""

ALARM = getattr(signal, "SIGUSR2", signal.SIGINT)
"""The signal that interrupts a holder whose claim was taken over. Not SIGINT where there is a choice: a process that a
shell script starts in the background ignores that."""


class TakenError(UserError):
    """Another process holds the folder."""


@contextmanager
def hold(folder: Path, expiry: float = EXPIRY) -> Iterator[None]:
    """Holds a folder for this process during the block.

    If this process is suspended for longer than `expiry`, another one may take the folder over; the block is then
    interrupted when the process wakes.

    Raises:
        TakenError: if another process holds the folder, or took it over.
        OSError: if the folder cannot be written.
    """
    claim = _acquire(folder, expiry)
    ended, overtaken = threading.Event(), threading.Event()
    sigint_handler = signal.getsignal(signal.SIGINT)
    heart = threading.Thread(target=_beat, args=(claim, ended, overtaken), daemon=True)
    heart.start()
    try:
        with _alarm_interrupts():
            yield
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the one into the other, and ignores SIGINT from then on
        if not overtaken.is_set():
            raise
        signal.signal(signal.SIGINT, sigint_handler)
        raise TakenError(f"{folder}: another process took this run over while this one was suspended") from None
    finally:
        ended.set()
        heart.join()
        if not overtaken.is_set():
            with suppress(FileNotFoundError):
                os.utime(claim, (0, 0))


@contextmanager
def _alarm_interrupts() -> Iterator[None]:
    """Makes `ALARM` raise KeyboardInterrupt during the block; only the main thread can set that up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(ALARM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(ALARM, before)


def is_held(folder: Path, expiry: float = EXPIRY) -> bool:
    """Whether a living process holds the folder; by the clock of this host, as a reader writes nothing."""
    claim = _latest(folder)
    return claim is not None and _is_valid(claim, expiry, clock=time.time)


def _acquire(folder: Path, expiry: float) -> Path:
    """Creates and returns the next claim on a folder; raises TakenError if another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    latest = _latest(folder)
    if latest is not None and _is_valid(latest, expiry, clock=partial(_file_system_time, folder)):
        raise _taken(folder)
    claim = folder / f"{PREFIX}{_generation(latest) + 1}"
    try:
        with claim.open("x") as file:
            json.dump(_describe_process(os.getpid()), file)
    except FileExistsError:
        raise _taken(folder) from None
    for other in folder.glob(f"{PREFIX}*"):
        if _generation(other) < _generation(claim):
            other.unlink(missing_ok=True)
    if _latest(folder) != claim:  # since we looked, others have held the folder and deleted the claim after `latest`
        claim.unlink()
        raise _taken(folder)
    return claim


def _taken(folder: Path) -> TakenError:
    return TakenError(f"{folder}: another process is training this run; wait or end it")


def _beat(claim: Path, ended: threading.Event, overtaken: threading.Event) -> None:
    """Renews a claim until the hold has ended; interrupts the main thread if another process has taken it over."""
    while not ended.wait(HEARTBEAT):
        if _latest(claim.parent) != claim:
            overtaken.set()
            _thread.interrupt_main(ALARM)
            return
        with suppress(OSError):  # a moment without the file system costs a beat, not the claim
            os.utime(claim)


def _latest(folder: Path) -> Path | None:
    return max(folder.glob(f"{PREFIX}*"), key=_generation, default=None)


def _generation(claim: Path | None) -> int:
    return int(claim.name.removeprefix(PREFIX)) if claim else 0


def _is_valid(claim: Path, expiry: float, *, clock: Callable[[], float]) -> bool:
    """Whether a claim counts: it was not given back, its holder is not known to be dead, its heartbeat is recent."""
    try:
        heartbeat, holder = claim.stat().st_mtime, _read_holder(claim)
    except FileNotFoundError:  # a process that created a newer claim has deleted it
        return True
    given_back = heartbeat == 0
    if given_back or _died_on_this_host(holder):
        return False
    return clock() - heartbeat < expiry


def _read_holder(claim: Path) -> dict[str, Any] | None:
    """Returns the description of the holder; None in the moment between a claim's creation and its content."""
    try:
        holder: dict[str, Any] = json.loads(claim.read_text())
    except ValueError:
        return None
    return holder


def _died_on_this_host(holder: dict[str, Any] | None) -> bool:
    """Whether a holder was a process of this host that has ended, even if another process has its number now."""
    if holder is None or holder["place"] != _host_and_boot():
        return False
    return holder != _describe_process(holder["pid"])


def _file_system_time(folder: Path) -> float:
    """Returns the present time by the clock of the file system, which may differ from that of this host."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _describe_process(pid: int) -> dict[str, Any]:
    """Returns what identifies a process: where it runs, its number, and when it started, as numbers are used again."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {"place": _host_and_boot(), "pid": pid, "started": None}
    has_ended = state in "ZX"
    return {"place": _host_and_boot(), "pid": pid, "started": None if has_ended else fields[18]}


@cache
def _host_and_boot() -> str:
    """Returns host, boot and PID namespace, within which a process number means one process.

    Where the system does not tell them, a value that equals that of no other process.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return str(uuid.uuid4())
