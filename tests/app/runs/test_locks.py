from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.runs import locks
from app.runs.locks import NAME, TakenError, hold, is_held

Start = Callable[..., subprocess.Popen[str]]

RACER = """
import os, sys
from pathlib import Path
from app.runs.locks import TakenError, hold
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

HOLDER = """
import sys, time
from pathlib import Path
from app.runs.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_held_during_the_block_and_free_after_it(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    for _ in range(3):
        with hold(tmp_path):
            assert is_held(tmp_path)
            with pytest.raises(TakenError), hold(tmp_path):
                pass
        assert not is_held(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def holder(tmp_path: Path, start: Start) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder of the test."""
    process = start("-c", HOLDER, str(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_holder_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert is_held(tmp_path)
    holder.kill()
    holder.wait()
    assert not is_held(tmp_path)
    with hold(tmp_path):
        pass


def test_a_suspended_holder_keeps_the_folder(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    assert is_held(tmp_path)
    with pytest.raises(TakenError, match=r"another process is training this run"), hold(tmp_path):
        pass


def test_no_clock_and_no_foreign_content_blocks_anybody(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('["of another host')
    os.utime(tmp_path / NAME, (4e9, 4e9))
    assert not is_held(tmp_path)
    with hold(tmp_path):
        assert is_held(tmp_path)


def test_processes_that_race_do_everything_once(tmp_path: Path, start: Start) -> None:
    racers = [start("-c", RACER, str(tmp_path)) for _ in range(4)]
    for racer in racers:
        _, err = racer.communicate()
        assert racer.returncode == 0, err
    for k in range(30):
        assert (tmp_path / str(k) / "done").exists()
        assert len(list((tmp_path / str(k)).glob("by-*"))) == 1


def test_who_asks_whether_a_folder_is_held_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 60)
    with (tmp_path / NAME).open("x") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as `is_held` does for a moment
        end = threading.Timer(0.02, fcntl.flock, (file, fcntl.LOCK_UN))
        end.start()
        with hold(tmp_path):
            end.join()


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


def test_who_asks_whether_a_folder_is_held_writes_nothing(
    tmp_path: Path, holder: subprocess.Popen[str], opened: list[tuple[str, int]]
) -> None:
    opened.clear()
    assert is_held(tmp_path)
    assert not is_held(tmp_path / "nothing")
    flags = [flags for path, flags in opened if path.startswith(str(tmp_path))]
    assert len(flags) == 2
    assert not any(each & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) for each in flags)
    assert not (tmp_path / "nothing").exists()
