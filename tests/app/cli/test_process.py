from __future__ import annotations

import signal
import warnings

import pytest

from app.cli.process import prepare_process, sigterm_stops
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
