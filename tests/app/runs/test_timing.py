from __future__ import annotations

import time

import pytest

from app.runs.timing import PATIENCE, Timing, interleaved, processor


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


@pytest.mark.parametrize("spins", [0.1, 1e9])
def test_a_call_waits_until_threads_of_the_one_before_rest_but_not_forever(monkeypatch, spins):
    """On a clock of its own: `library` works on two threads, one of which then spins."""
    clock, own, until = [0.0], [0.0], [0.0]
    begun = []

    def work(seconds: float) -> None:
        clock[0] += seconds
        own[0] += seconds

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    def library() -> None:
        until[0] = clock[0] + 1.0 + spins
        work(1.0)

    def one_thread() -> None:
        begun.append(clock[0] - until[0] + spins)
        work(1.0)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(time, "process_time", lambda: own[0] + min(clock[0], until[0]))
    monkeypatch.setattr(time, "sleep", sleep)
    interleaved({"library": library, "one thread": one_thread}, 3)
    assert min(begun) >= min(spins, PATIENCE)
    assert max(begun) < min(spins, PATIENCE) + 0.01


def test_the_processor_has_a_name():
    assert processor()
