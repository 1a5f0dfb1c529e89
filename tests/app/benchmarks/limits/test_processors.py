"""Kernels compiled for other kinds of processor."""

from __future__ import annotations

import os

import pytest

from app.benchmarks.limits import processors
from app.engine.simd import target


def test_only_what_this_processor_can_run_is_forced(monkeypatch):
    monkeypatch.setattr(processors, "X86", True)
    monkeypatch.setattr(processors.binding, "get_host_cpu_features", lambda: dict.fromkeys(processors.AVX2, True))
    assert list(processors.kinds_of_processor()) == ["AVX2", "SSE4.1", "SSE2", processors.PLAIN]


@pytest.mark.skipif(not target.X86, reason="names an instruction set of x86")
def test_a_process_is_compiled_for_what_it_is_told():
    before = dict(os.environ)
    with processors.compiled_for(processors.kinds_of_processor()["SSE2"]) as process:
        assert process.submit(register_bits).result() == 128
    assert os.environ == before


def register_bits():
    return target.REGISTER_BITS


def test_rates_are_work_by_the_fastest_of_all_rounds(monkeypatch, tmp_path):
    """Two kinds, whose processes are this one; the second round is the faster one."""
    work = {"INT8 linear": (6e9, "GOP/s", "peak"), "peak": (12e9, "GOP/s", None)}
    seconds = iter(
        [{"INT8 linear": 9.0, "peak": 9.0}] * 2 + [{"INT8 linear": 2.0, "peak": 3.0}, {"INT8 linear": 6.0, "peak": 4.0}]
    )
    monkeypatch.setattr(processors, "kinds_of_processor", lambda: {"SSE2": {}, processors.PLAIN: {}})
    monkeypatch.setattr(processors, "compiled_for", lambda kind: Here())
    monkeypatch.setattr(processors, "_prepare", lambda *_: work)
    monkeypatch.setattr(processors, "_one_round", lambda: next(seconds))
    fast, plain = processors.measure("zinc", tmp_path, 1, 2)
    assert (fast["rate"], fast["fraction"], fast["gain"]) == (3.0, 0.75, 3.0)
    assert (plain["rate"], plain["fraction"], plain["gain"]) == (1.0, 1 / 3, 1.0)


class Here:
    """A process that is this one."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, function, *arguments):
        found = function(*arguments)
        self.result = lambda: found
        return self
