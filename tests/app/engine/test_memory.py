from __future__ import annotations

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from app.engine.memory import kept

PROJECT = Path(__file__).resolve().parents[3]
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")

FAULTS = """
import resource, sys
import torch
if "task" in sys.argv:
    from models.architectures import GCN
    from models.tasks import NodeClassification
    NodeClassification(GCN, 4, 2)
torch.ones(1 << 24)
counts = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(1 << 24)
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(counts))
"""


def faults(*words: str, **environment: str) -> int:
    """Fresh pages that ten tensors of 64 MiB take, one after the other; the fewest of three times.

    A system that is short of memory takes pages from a process and so adds to them.
    """
    command = [sys.executable, "-c", FAULTS, *words]
    told = subprocess.run(command, cwd=PROJECT, env={"PATH": "", **environment}, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return int(told.stdout)


@GLIBC
def test_a_task_lets_its_process_reuse_freed_memory_unless_the_environment_says_otherwise() -> None:
    of_task = faults("task")
    assert of_task < faults() / 5
    assert of_task < faults("task", MALLOC_MMAP_THRESHOLD_="1000000") / 5


def test_it_comes_without_torch() -> None:
    code = "import sys; import app.engine.memory; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0


class Held:
    """Has a value that takes until `end` is set."""

    def __init__(self, end: Event) -> None:
        self.begun, self.end, self.computed = Event(), end, 0

    @kept
    def value(self) -> int:
        """Some value."""
        self.computed += 1
        self.begun.set()
        assert self.end.wait(10)
        return self.computed


def test_a_kept_value_is_computed_once() -> None:
    end = Event()
    end.set()
    held = Held(end)
    assert [held.value, held.value, held.computed] == [1, 1, 1]
    assert Held.value.__doc__ == "Some value."


def test_objects_do_not_wait_for_values_of_each_other() -> None:
    never, now = Event(), Event()
    now.set()
    one, other = Held(never), Held(now)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: one.value)
        assert one.begun.wait(10)
        try:
            assert pool.submit(lambda: other.value).result(5) == 1
        finally:
            never.set()
        assert first.result() == 1
