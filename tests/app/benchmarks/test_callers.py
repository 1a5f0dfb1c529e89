from __future__ import annotations

import json
from collections import Counter
from threading import get_ident

from app.benchmarks import callers
from app.cli.main import main
from app.engine import workers


def test_all_threads_call_and_all_calls_count(monkeypatch):
    """With a clock that stands still from the moment when all threads are there to the last call."""
    made, now = Counter(), [0.0]
    monkeypatch.setattr(callers, "perf_counter", lambda: now[0])
    monkeypatch.setattr(callers, "process_time", lambda: 5 * now[0])

    def call():
        made[get_ident()] += 1
        if len(made) == 3 and sum(made.values()) >= 50:
            now[0] = 2.0

    rate = callers.rate(call, 3, seconds=1.0)
    assert rate == (sum(made.values()) / 2.0, sum(made.values()) / 10.0)
    assert len(made) == 3


def test_the_time_begins_when_all_threads_are_there(monkeypatch):
    """Whatever the thread that measures waits for: each of them reads the clock, the first when all have arrived."""
    read, made = [], []
    monkeypatch.setattr(callers, "perf_counter", lambda: read.append(get_ident()) or float(len(read)))
    callers.rate(lambda: made.append(get_ident()), 3, seconds=10.0)
    assert get_ident() not in read
    assert len(set(made)) <= len(set(read)) == 3


def test_the_gil_is_kept_as_before_afterwards():
    before = workers.SHORT
    with callers.keeping_gil(callers.KEPT):
        assert workers.is_short(10**6, 10**9)
    with callers.keeping_gil(callers.GIVEN_UP):
        assert not workers.is_short(0, 0)
    assert before == workers.SHORT


def test_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(callers, "ROUND", 0.01)
    words = ["--workload", "molecule", "--network", "gin", "--callers", "2", "--repeats", "2", "--gil"]
    assert main(["benchmark", "callers", *words, "--output", str(tmp_path / "f.json")]) == 0
    (result,) = json.loads((tmp_path / "f.json").read_text())["results"]
    found = [(row["network"], row["gil"], row["callers"]) for row in result["rows"]]
    ways = [("gin", gil, count) for gil in ("as it is", "kept", "given up") for count in (1, 2)]
    assert found == [*ways, *((callers.PYTHON, "as it is", count) for count in (1, 2))]
    assert result["rows"][0]["of_one"] == result["rows"][0]["of_processor"] == 1
    assert "2 / 1" in capsys.readouterr().out
