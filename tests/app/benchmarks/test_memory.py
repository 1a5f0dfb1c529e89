from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.benchmarks import memory
from app.cli.main import main

PROJECT = Path(__file__).resolve().parents[3]

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")


CODE = """
import numpy as np
from app.benchmarks import memory

before = memory.resident()
peak = memory.peak_of(lambda: np.ones(5_000_000).sum())
print(peak - before, memory.resident() - before)
"""


@linux
def test_the_peak_holds_what_is_gone_again():
    """In a process of its own: the system takes idle pages from one that has run many tests, in between."""
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    peak, left = map(int, told.split())
    assert 35e6 < peak < 60e6
    assert left < 5e6


def test_where_the_peak_is_unknown_the_command_says_so(monkeypatch, capsys):
    def refused(path, text):
        raise PermissionError

    monkeypatch.setattr(memory.Path, "write_text", refused)
    assert main(["benchmark", "memory"]) == 2
    assert "use Linux" in capsys.readouterr().err


OWN = """
import sys, time
import numpy as np
from app.benchmarks import memory

x = np.ones(8_000_000)
np.save(sys.argv[1], x)
del x
before, held = memory.own(), []

def read():
    np.load(sys.argv[1], mmap_mode="r").sum()
    time.sleep(0.1)

def keep():
    held.append(np.ones(8_000_000))
    time.sleep(0.1)

print(memory.peak_of_own(read) - before, memory.peak_of_own(keep) - before)
"""


@linux
def test_own_memory_counts_arrays_and_no_files(tmp_path):
    command = [sys.executable, "-c", OWN, str(tmp_path / "x.npy")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    of_file, of_array = map(int, told.split())
    assert of_file < 32_000_000 < of_array
