from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.runs import claims
from app.runs.claims import EXPIRY, TakenError, hold, is_held

Start = Callable[..., subprocess.Popen[str]]

RACER = """
import os, sys
from pathlib import Path
from app.runs.claims import TakenError, hold
root = Path(sys.argv[1])
for k in list(range(30)) * 4:
    try:
        with hold(root / str(k)):
            inside = root / str(k) / "inside"
            inside.open("x").close()
            if not (root / str(k) / "done").exists():
                (root / str(k) / f"by-{os.getpid()}").touch()
                (root / str(k) / "done").touch()
            inside.unlink()
    except TakenError:
        pass
"""


def foreign(folder: Path, generation: int, age: float) -> Path:
    """A claim of another host whose last sign of life is `age` seconds old."""
    folder.mkdir(parents=True, exist_ok=True)
    claim = folder / f".claim-{generation}"
    claim.write_text(json.dumps({"place": "elsewhere", "pid": 1, "started": "1"}))
    then = time.time() - age
    os.utime(claim, (then, then))
    return claim


def test_a_folder_is_held_during_the_block_and_free_after_it(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    for _ in range(3):
        with hold(tmp_path):
            assert is_held(tmp_path)
            with pytest.raises(TakenError), hold(tmp_path):
                pass
        assert not is_held(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_claim_of_another_host_is_respected_until_it_expires(tmp_path: Path) -> None:
    claim = foreign(tmp_path, 3, EXPIRY - 20)
    with pytest.raises(TakenError), hold(tmp_path):
        pass
    assert claim.exists()
    foreign(tmp_path, 3, EXPIRY + 1)
    assert not is_held(tmp_path)
    with hold(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".claim-4"]


def test_a_process_number_used_again_is_not_the_holder(tmp_path: Path) -> None:
    with hold(tmp_path):
        (claim,) = tmp_path.iterdir()
        holder = json.loads(claim.read_text())
        claim.write_text(json.dumps({**holder, "started": "1"}))
        assert not is_held(tmp_path)
        claim.write_text(json.dumps(holder))
        assert is_held(tmp_path)


def test_who_looked_before_others_came_and_went_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = foreign(tmp_path, 3, EXPIRY + 1)
    latest, looks = claims._latest, []

    def slow(folder: Path) -> Path | None:
        if looks:
            return latest(folder)
        looks.append(stale)
        with hold(folder), monkeypatch.context() as inner:  # another one takes it over and ends: now 4
            inner.setattr(claims, "_latest", latest)
        foreign(folder, 5, 0)  # and a third one has it: its claim removed the older ones
        for old in (3, 4):
            (folder / f".claim-{old}").unlink(missing_ok=True)
        return stale

    monkeypatch.setattr(claims, "_latest", slow)
    monkeypatch.setattr(claims, "_is_valid", lambda claim, expiry, clock: False)
    with pytest.raises(TakenError), hold(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".claim-5"]


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def started_in(request: pytest.FixtureRequest) -> Iterator[None]:
    """A shell script starts what it puts in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("started_in")
def test_a_holder_that_slept_too_long_learns_that_it_was_overtaken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT", 0.02)

    def sleep_through_a_takeover() -> None:
        with hold(tmp_path):
            foreign(tmp_path, 2, 0)
            for _ in range(3000):
                time.sleep(0.01)

    with pytest.raises(TakenError, match="took this run over"):
        sleep_through_a_takeover()
    assert is_held(tmp_path), "the other's claim stands"


def test_the_heartbeat_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT", 0.02)
    with hold(tmp_path):
        claim = tmp_path / ".claim-1"
        os.utime(claim, (1, 1))
        for _ in range(500):
            if claim.stat().st_mtime > 1:
                break
            time.sleep(0.01)
        assert claim.stat().st_mtime > 1


def test_processes_that_race_do_everything_once(tmp_path: Path, start: Start) -> None:
    racers = [start("-c", RACER, str(tmp_path)) for _ in range(4)]
    for racer in racers:
        _, err = racer.communicate()
        assert racer.returncode == 0, err
    for k in range(30):
        assert (tmp_path / str(k) / "done").exists()
        assert len(list((tmp_path / str(k)).glob("by-*"))) == 1


@pytest.fixture
def opened() -> Iterator[list[tuple[str, int]]]:
    """Paths and flags of files that are opened during a test."""
    found, watching = [], threading.Event()
    watching.set()

    def hook(event: str, words: tuple) -> None:  # cannot be removed
        if event == "open" and watching.is_set():
            found.append((str(words[0]), words[2]))

    sys.addaudithook(hook)
    yield found
    watching.clear()


def test_who_asks_whether_a_folder_is_held_writes_nothing(tmp_path: Path, opened: list[tuple[str, int]]) -> None:
    claim = tmp_path / ".claim-3"
    claim.write_text(json.dumps({"place": "another host", "pid": 1, "started": "2"}))
    opened.clear()
    assert is_held(tmp_path)
    os.utime(claim, (1, 1))
    assert not is_held(tmp_path)
    flags = [flags for path, flags in opened if path.startswith(str(tmp_path))]
    assert len(flags) >= 2
    assert not any(each & (os.O_WRONLY | os.O_RDWR) for each in flags)
