"""Commands that are stopped by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from app.engine.command import describe, main

ROOT = Path(__file__).parents[4]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("amid_a_library", [False, True])
def test_a_signal_ends_a_command_in_order(monkeypatch, capsys, number, amid_a_library):
    """numba, stopped while it compiles, raises a RuntimeError."""

    def stopped(options):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if amid_a_library:
                raise RuntimeError("no compiled object yet") from None
            raise

    before = [signal.getsignal(number) for number in SIGNALS]
    monkeypatch.setattr(describe, "run", stopped)
    assert main(["info", "program"]) == 130
    assert capsys.readouterr().err == "stopped\n"
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_while_modules_are_imported_ends_it_too():
    code = """if True:
        import builtins, signal, sys
        from app.engine.command import main
        imported = builtins.__import__
        def interrupted(name, *rest):
            if name == "numba":
                signal.raise_signal(signal.SIGINT)
            return imported(name, *rest)
        builtins.__import__ = interrupted
        sys.exit(main(["run", "program", "--input", "a.npz", "--output", "b.npz"]))
    """
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "stopped\n")


def test_an_error_that_no_signal_made_goes_on(monkeypatch):
    def fails(options):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(describe, "run", fails)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main(["info", "program"])


def test_a_command_runs_in_another_thread_where_no_signal_arrives(monkeypatch):
    codes = []
    monkeypatch.setattr(describe, "run", lambda options: None)
    thread = Thread(target=lambda: codes.append(main(["info", "program"])))
    thread.start()
    thread.join()
    assert codes == [0]
