from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")

FAULTS = """
import resource, sys
import torch
from models.architectures import GCN
from models.tasks import NodeClassification
if "task" in sys.argv:
    NodeClassification(GCN, 4, 2)
torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*words: str, **environment: str) -> int:
    """Fresh pages that ten tensors of 64 MiB take, one after the other; the fewest of three processes.

    A system that is short of memory takes pages from a process and so adds to them.
    """
    command, counts = [sys.executable, "-c", FAULTS, *words], []
    for _ in range(3):
        told = subprocess.run(command, cwd=PROJECT, env={"PATH": "", **environment}, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        counts.append(int(told.stdout))
    return min(counts)


@GLIBC
def test_a_task_lets_its_process_reuse_freed_memory() -> None:
    assert faults("task") < faults() / 5


@GLIBC
def test_what_the_environment_says_of_memory_stays() -> None:
    assert faults("task", MALLOC_MMAP_THRESHOLD_="1000000") > 5 * faults("task")


def test_it_comes_without_torch() -> None:
    code = "import sys; import app.engine.memory; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
