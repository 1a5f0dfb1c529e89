from __future__ import annotations

import time

import pytest

from app.benchmarks.timing import interleaved, processor


@pytest.mark.parametrize(("repeats", "rounds"), [(3, 3), (1, 2)])
def test_candidates_are_called_in_turns(repeats, rounds):
    calls = []
    interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats, warmup=1)
    assert calls == ["a", "b"] * (rounds + 1)


def test_times_are_milliseconds_without_the_warmup():
    pauses = iter([0.5, 0.005, 0.010, 0.015])
    timing = interleaved({"sleep": lambda: time.sleep(next(pauses))}, 3, warmup=1)["sleep"]
    assert 5 <= timing.fastest <= timing.lower <= timing.median <= timing.upper < 500
    assert timing.median >= 10


def test_the_processor_has_a_name():
    assert processor()
