"""Processes of their own for what is measured."""

from __future__ import annotations

import os

import pytest

from app.benchmarks.processes import OwnProcess, ProcessLostError


def test_a_process_of_its_own_answers_call_after_call():
    with OwnProcess({"OF_ITS_OWN": "1"}) as process:
        assert process.call(os.getenv, "OF_ITS_OWN") == "1"
        assert process.call(divmod, 7, 3) == (2, 1)
        with pytest.raises(ZeroDivisionError):
            process.call(divmod, 7, 0)
        with pytest.raises(ProcessLostError, match="before it had answered"):
            process.call(os._exit, 9)
    assert "OF_ITS_OWN" not in os.environ
