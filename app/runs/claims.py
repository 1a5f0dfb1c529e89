"""Claims: one process at a time holds a folder, on one host or on many, however the last holder ended.

The claim is the file `.claim-<generation>`; the highest generation counts. Whoever finds it given back or expired
creates the next one, exclusively, so only one of many can; the highest is never deleted, so no one who looked
earlier can create it again. Its modification time is the holder's heartbeat, its content says who that is.
"""

from __future__ import annotations

import _thread
import json
import os
import platform
import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from app.errors import UserError

PREFIX = ".claim-"
HEARTBEAT = 10.0
"""Seconds between signs of life."""

EXPIRY = 60.0
"""Seconds without one after which a claim is free: for holders on other hosts; one that died on this host is seen."""


ALARM = getattr(signal, "SIGUSR2", signal.SIGINT)
"""Interrupts a holder that was overtaken; not SIGINT where there is a choice, which a process in the background of a
shell script ignores from its start."""


class TakenError(UserError):
    """Another process holds the folder."""


@contextmanager
def hold(folder: Path, expiry: float = EXPIRY) -> Iterator[None]:
    """Holds a folder for this process during the block.

    A holder that was suspended longer than `expiry` may find itself overtaken when it wakes: the block is then
    interrupted.

    Raises:
        TakenError: if another process holds the folder, or overtook this one.
        OSError: if the folder cannot be written.
    """
    claim = _acquire(folder, expiry)
    ended, overtaken, interrupts = threading.Event(), threading.Event(), signal.getsignal(signal.SIGINT)
    pulse = threading.Thread(target=_beat, args=(claim, ended, overtaken), daemon=True)
    pulse.start()
    try:
        with _alarmed():
            yield
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the one into the other, and ignores SIGINT from then on
        if not overtaken.is_set():
            raise
        signal.signal(signal.SIGINT, interrupts)
        raise TakenError(f"{folder}: another process took this run over while this one was suspended") from None
    finally:
        ended.set()
        pulse.join()
        if not overtaken.is_set():
            with suppress(FileNotFoundError):
                os.utime(claim, (0, 0))


@contextmanager
def _alarmed() -> Iterator[None]:
    """Within the block, `ALARM` raises KeyboardInterrupt in the main thread, which alone can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(ALARM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(ALARM, before)


def held(folder: Path, expiry: float = EXPIRY) -> bool:
    """Whether a living process holds the folder."""
    claim = _latest(folder)
    return claim is not None and _alive(claim, expiry)


def _acquire(folder: Path, expiry: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    latest = _latest(folder)
    if latest is not None and _alive(latest, expiry):
        raise TakenError(f"{folder}: another process is training this run; wait or end it")
    own = folder / f"{PREFIX}{_generation(latest) + 1}"
    try:
        with own.open("x") as file:
            json.dump(_holder(os.getpid()), file)
    except FileExistsError:
        raise TakenError(f"{folder}: another process is training this run; wait or end it") from None
    for claim in folder.glob(f"{PREFIX}*"):
        if _generation(claim) < _generation(own):
            claim.unlink(missing_ok=True)
    if _latest(folder) != own:  # we looked long ago: others have come and gone, and deleted what stood in our way
        own.unlink()
        raise TakenError(f"{folder}: another process is training this run; wait or end it")
    return own


def _beat(claim: Path, ended: threading.Event, overtaken: threading.Event) -> None:
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


def _alive(claim: Path, expiry: float) -> bool:
    try:
        beat, holder = claim.stat().st_mtime, _read(claim)
    except FileNotFoundError:  # a newer one has come
        return True
    if beat == 0 or (holder and holder["place"] == _place() and holder != _holder(holder["pid"])):
        return False
    with tempfile.TemporaryFile(dir=claim.parent) as now:  # the clock of the file system, not of this host
        return os.fstat(now.fileno()).st_mtime - beat < expiry


def _read(claim: Path) -> dict[str, Any] | None:
    """Who holds it; None in the moment between its creation and its content."""
    try:
        return json.loads(claim.read_text())
    except ValueError:
        return None


def _holder(pid: int) -> dict[str, Any]:
    """A process: where it runs, its number, and when it started, for numbers are used again."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {"place": _place(), "pid": pid, "started": None}
    return {"place": _place(), "pid": pid, "started": None if state in "ZX" else fields[18]}


@cache
def _place() -> str:
    """Within which a process number means one process; where the system does not tell, no other place is this one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return str(uuid.uuid4())
