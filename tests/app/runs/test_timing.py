from __future__ import annotations

import time

import pytest

from app.runs.timing import Timing, interleaved, processor


@pytest.mark.parametrize(("repeats", "rounds"), [(3, 3), (1, 2)])
def test_candidates_are_called_in_turns(repeats, rounds):
    calls = []
    interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats, warmup=1)
    assert calls == ["a", "b"] * (rounds + 1)


def test_times_are_milliseconds_without_the_warmup(monkeypatch):
    clock, durations = [0.0], iter([100.0, 0.5, 0.25, 0.75])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def call() -> None:
        clock[0] += next(durations)

    assert interleaved({"call": call}, 3, warmup=1) == {"call": Timing(500.0, 375.0, 625.0, 250.0)}


def test_the_processor_has_a_name():
    assert processor()
