from __future__ import annotations

import warnings

import pytest

from app.cli.process import prepare_process
from datamodules import DataWarning


def test_a_warning_is_one_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored afterwards
    with warnings.catch_warnings():
        prepare_process()
        line = warnings.formatwarning(DataWarning("mine: not used:\n  pos"), DataWarning, "data", 0)
    assert line == "warning: mine: not used: pos\n"
