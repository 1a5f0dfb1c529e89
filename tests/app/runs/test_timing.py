from __future__ import annotations

import time
from itertools import pairwise

import pytest

from app.runs.timing import Timing, interleaved, processor


@pytest.mark.parametrize(("repeats", "rounds"), [(3, 3), (1, 2)])
def test_candidates_are_called_in_turns(repeats, rounds):
    calls = []
    interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats, warmup=1)
    assert [sorted(calls[i : i + 2]) for i in range(0, len(calls), 2)] == [["a", "b"]] * (rounds + 1)


def test_no_candidate_always_follows_the_same_one():
    calls = []
    interleaved({name: lambda name=name: calls.append(name) for name in "abcd"}, 5, warmup=1)
    followed = {name: {before for before, after in pairwise(calls) if after == name} for name in "abcd"}
    assert all(len(names) > 1 for names in followed.values())


def test_times_are_milliseconds_without_the_warmup(monkeypatch):
    clock, durations = [0.0], iter([100.0, 0.5, 0.25, 0.75])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def call() -> None:
        clock[0] += next(durations)

    assert interleaved({"call": call}, 3, warmup=1) == {"call": Timing(500.0, 375.0, 625.0, 250.0)}


def test_the_processor_has_a_name():
    assert processor()
