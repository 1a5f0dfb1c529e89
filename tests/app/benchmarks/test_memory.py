from __future__ import annotations

import sys

import numpy as np
import pytest

from app.benchmarks import memory
from app.cli.main import main

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")


@linux
def test_the_peak_holds_what_is_gone_again():
    before = memory.resident()
    peak = memory.peak_of(lambda: np.ones(5_000_000).sum())
    assert 35e6 < peak - before < 60e6
    assert memory.resident() - before < 5e6


def test_where_the_peak_is_unknown_the_command_says_so(monkeypatch, capsys):
    def refused(path, text):
        raise PermissionError

    monkeypatch.setattr(memory.Path, "write_text", refused)
    assert main(["benchmark", "memory"]) == 2
    assert "use Linux" in capsys.readouterr().err
