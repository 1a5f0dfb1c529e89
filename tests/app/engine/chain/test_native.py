"""Kernels that compiled code calls get what they are given, whatever its type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numba import typeof

from app.engine.chain import native
from app.engine.chain.chain import address_of
from app.engine.kernel_cache import cached_njit

ROOT = Path(__file__).parents[4]
KERNEL = cached_njit(Path(__file__).parent, nogil=True)


@KERNEL
def everything(dtype, number, small, single, double, table, row, out):
    """Writes what it sees; returns whether the first number is positive."""
    out[0], out[1], out[2], out[3] = number, small, single, double
    out[4], out[5], out[6] = table.shape[0], table.shape[1], table.shape[2]
    out[7], out[8] = table[1, 2, 3], row[-1]
    out[9] = np.empty(3, dtype).itemsize
    out[10] = table.sum()
    return number > 0


@KERNEL
def without_result(row, out):
    """Writes one number."""
    out[0] = row.size


def also_without_result(row, out):
    """Writes nothing."""


def call(kernel, arguments, words, arrays, sizes=(1,)):
    entry = native.entry(kernel, tuple(map(typeof, arguments)))
    calls = np.array([[entry.link, entry.kernel, 0]] * 2, np.int64)
    tables = [np.array(table, np.int64) for table in (words, [address_of(array) for array in arrays], sizes)]
    held, given = (native.run(holding_gil=holding) for holding in (True, False))
    results = {run(address_of(calls), 2, *map(address_of, tables)) for run in (held, given)}
    assert len(results) == 1
    return results.pop()


def test_arguments_of_every_type_arrive():
    table, row, out = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.arange(5, dtype=np.int32), np.zeros(11)
    numbers = -(2**40), np.int32(-7), np.float32(0.3), 1e300
    words = [numbers[0], -7, int(numbers[2].view(np.int32)), int(np.float64(1e300).view(np.int64))]
    words += [0, 0, 2, 0, 3, 0, 4, 1, 1, 5, 2, 0, 11]
    arguments = np.dtype(np.int16), *numbers, table, row, out
    assert call(everything, arguments, words, (table, row, out), (1, 1)) == native.REFUSED
    expected = [-(2**40), -7, np.float32(0.3), 1e300, 2, 3, 4, table[1, 2, 3], 4, 2, table.sum()]
    assert out.tolist() == expected
    arguments, words[0] = (arguments[0], 2**40, *arguments[2:]), 2**40
    assert call(everything, arguments, words, (table, row, out), (1, 1)) == native.DONE


def test_sizes_are_looked_up_and_multiplied():
    row, out = np.zeros(60, np.float32), np.zeros(1)
    assert call(without_result, (row, out), [0, 1, 4, 1, 0, 1], (row, out), (1, 15)) == native.DONE
    assert out[0] == 60


def test_kernels_with_the_same_types_share_a_link():
    row = np.zeros(3, np.float32)
    types = tuple(map(typeof, (row, row)))
    other = KERNEL(also_without_result)
    first, second = native.entry(without_result, types), native.entry(other, types)
    assert first.link == second.link
    assert first.kernel != second.kernel


MAKE = """
from pathlib import Path
from app.engine.kernel_cache import cached_njit

def make(number):
    @cached_njit(Path(__file__).parent)
    def write(out):
        out[0] = number
    return write
"""
WRITE = """
import sys
import numpy as np
from numba import typeof
from app.engine.chain import native
from made import make
out = np.zeros(1)
kernels = [make(float(number)) for number in sys.argv[1:]]
for kernel in kernels:
    kernel(out)
print(len({native.entry(kernel, (typeof(out),)).kernel for kernel in kernels}))
"""


def test_kernels_that_different_processes_compiled_under_one_name_are_told_apart(tmp_path):
    (tmp_path / "made.py").write_text(MAKE)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for numbers, found in ((["1"], "1"), (["2"], "1"), (["1", "2"], "2")):
        command = [sys.executable, "-c", WRITE, *numbers]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.stdout.strip() == found, result.stderr
