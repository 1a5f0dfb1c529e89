"""Memory is used again, but never while something refers to it."""

from __future__ import annotations

import numpy as np

from app.engine import Executable, buffers
from app.engine.buffers import LEAST_BYTES, Buffers, Scratch


def test_memory_is_used_again_but_never_while_it_is_referred_to():
    memory, shape = Buffers(), (LEAST_BYTES // 4, 2)
    first = memory.empty(shape, np.float32)
    address, part = first.ctypes.data, first[5:, 1]
    del first
    second = memory.empty(shape, np.float32)
    assert second.shape == shape
    assert second.flags.writeable
    assert second.ctypes.data != address
    del part
    assert memory.empty(shape, np.float32).ctypes.data == address


def test_free_memory_has_a_limit_and_can_be_given_back(monkeypatch):
    """Of what is free, the latest that fits is kept: the next allocations find that and no more."""
    monkeypatch.setattr(buffers, "KEPT_BYTES", 5 * LEAST_BYTES)
    memory = Buffers()
    arrays = [memory.empty((LEAST_BYTES * 2,), np.uint8) for _ in range(3)]
    first, *later = (array.ctypes.data for array in arrays)
    while arrays:
        del arrays[0]
    addresses = kept(memory)
    assert addresses == set(later)
    assert first not in addresses
    memory.release()
    assert kept(memory) == set()


def kept(memory):
    return {buffer.ctypes.data for buffer in memory._free}


def test_an_executable_gives_its_memory_back(make_program, make):
    rows = LEAST_BYTES // 8
    executable = Executable(make_program("gin", 16))
    x = make(seed=3).rng.normal(size=(rows, executable.in_features)).astype(np.float32)
    expected = executable.run(x, [[], []]).copy()
    memory = executable._workers.buffers
    assert kept(memory)
    executable.release()
    assert not kept(memory)
    np.testing.assert_array_equal(executable.run(x, [[], []]), expected)


def test_scratch_grows_and_never_mixes_its_pieces():
    scratch = Scratch()
    small = scratch.empty(0, 3, 4, np.uint8)
    other = scratch.empty(1, 3, 4, np.uint8)
    assert not np.shares_memory(small, other)
    large = scratch.empty(0, 10, 8, np.float32)
    assert large.shape == (10, 8)
    assert large.flags.c_contiguous
    assert np.shares_memory(scratch.empty(0, 2, 4, np.uint8), large)


def test_results_of_one_executable_do_not_overwrite_each_other(make_program, make):
    rows = LEAST_BYTES // 8
    maker = make(seed=3)
    executable, edges = Executable(make_program("gin", 16)), maker.edges(rows, 10)
    inputs = [maker.rng.normal(size=(rows, executable.in_features)).astype(np.float32) for _ in range(3)]
    results = [executable.run(x, edges) for x in inputs]
    for x, result in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(result, executable.run(x, edges))
    assert not np.array_equal(results[0], results[1])
