from __future__ import annotations

import signal
import threading
import warnings

import pytest

from app.cli.process import is_first, prepare_process, sigterm_stops
from datamodules import DataWarning


def test_a_warning_is_one_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored afterwards
    with warnings.catch_warnings():
        prepare_process()
        line = warnings.formatwarning(DataWarning("mine: not used:\n  pos"), DataWarning, "data", 0)
    assert line == "warning: mine: not used: pos\n"


def test_a_second_sigterm_does_not_interrupt_the_end_that_the_first_one_began() -> None:
    before = signal.getsignal(signal.SIGTERM)
    ended = []

    @sigterm_stops()
    def command() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            ended.append("in order")

    with pytest.raises(KeyboardInterrupt):
        command()
    assert ended == ["in order"]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_thread_keeps_for_those_who_wait_for_it_is_not_told_twice(
    *, kept: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Writer(threading.Thread):
        exception: Exception | None = None

        def run(self) -> None:
            problem = OSError("full")
            self.exception = problem if kept else None
            raise problem

    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored afterwards
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    with warnings.catch_warnings():
        prepare_process()
    writer = Writer()
    writer.start()
    writer.join()
    assert ("OSError: full" in capsys.readouterr().err) != kept


@pytest.mark.parametrize(
    ("environment", "first"),
    [({}, True), ({"LOCAL_RANK": "0"}, True), ({"LOCAL_RANK": "1"}, False), ({"RANK": "2", "LOCAL_RANK": "0"}, False)],
)
def test_of_several_processes_one_is_the_first(
    environment: dict[str, str], *, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first() is first
