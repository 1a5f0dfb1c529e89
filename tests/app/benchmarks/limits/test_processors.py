"""Kernels compiled for other kinds of processor."""

from __future__ import annotations

import os

import pytest

from app.benchmarks.generated_graphs import molecules
from app.benchmarks.limits import processors, rounds
from app.benchmarks.processes import OwnProcess
from app.benchmarks.workloads import Inputs
from app.engine.simd import target


def test_only_what_this_processor_can_run_is_forced(monkeypatch):
    monkeypatch.setattr(processors, "X86", True)
    monkeypatch.setattr(processors.binding, "get_host_cpu_features", lambda: dict.fromkeys(processors.AVX2, True))
    assert list(processors.kinds_of_processor()) == ["AVX2", "SSE4.1", "SSE2", processors.PLAIN]


@pytest.mark.skipif(not target.X86, reason="names an instruction set of x86")
def test_a_process_is_compiled_for_what_it_is_told():
    before = dict(os.environ)
    with OwnProcess(processors.kinds_of_processor()["SSE2"]) as process:
        assert process.call(register_bits) == 128
    assert os.environ == before


def register_bits():
    return target.REGISTER_BITS


@pytest.fixture
def two_kinds(monkeypatch):
    monkeypatch.setattr(processors, "kinds_of_processor", lambda: {"SSE2": {}, processors.PLAIN: {}})


def test_rates_are_work_by_the_fastest_of_all_rounds(two_kinds, monkeypatch, capsys):
    """Two kinds, whose processes are this one; the second round is the faster one."""
    work = {"INT8 linear": (6e9, "GOP/s", "peak"), "peak": (12e9, "GOP/s", None)}
    seconds = iter(
        [{"INT8 linear": 9.0, "peak": 9.0}] * 2 + [{"INT8 linear": 2.0, "peak": 3.0}, {"INT8 linear": 6.0, "peak": 4.0}]
    )
    monkeypatch.setattr(processors, "OwnProcess", lambda kind: Here())
    monkeypatch.setattr(processors, "prepare", lambda *_: work)
    monkeypatch.setattr(processors, "one_round", lambda: next(seconds))
    fast, plain = processors.measure(Inputs(*molecules(graphs=1)), 1, 2)
    assert (fast["rate"], fast["fraction"], fast["gain"]) == (3.0, 0.75, 3.0)
    assert (plain["rate"], plain["fraction"], plain["gain"]) == (1.0, 1 / 3, 1.0)
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told] == ["SSE2", processors.PLAIN, "round 1 of 2", "round 2 of 2"]


def test_processes_time_the_kernels_and_load_no_torch(two_kinds):
    rows = processors.measure(Inputs(*molecules(graphs=1)), 1, 2)
    assert [row["name"] for row in rows] == [*rounds.KERNELS] * 2
    with OwnProcess() as process:
        process.call(rounds.one_round)
        assert not process.call(eval, "'torch' in __import__('sys').modules")


class Here:
    """A process that is this one."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def call(self, function, *arguments):
        return function(*arguments)
