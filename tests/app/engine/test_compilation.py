"""Kernels are compiled once on a machine, not in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from numba import njit, types
from numba.core.base import BaseContext
from numba.core.typing.context import Context

from app.engine.chain.native import CAN_COMPILE
from app.engine.compiler.pipelines import KernelCompiler
from app.engine.simd import vectors as simd

RUN = """
from time import perf_counter

from numba.core import event

import torch
from app.engine import Executable, Graph, compile_seconds
from app.benchmarks.generated_graphs import superpixels
from app.benchmarks.networks import calibrated_network
from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.fused import FusedNetwork

nodes, edges = superpixels(graphs=2)
x, graph, network = torch.zeros(nodes, WIDTH), Graph(edges, nodes), calibrated_network("gin", 8)
before, started = compile_seconds(), perf_counter()
with event.install_recorder("numba:compile") as compiled:
    Executable(network.lower()).run(x, graph)
    FusedNetwork(network)(x, graph)
print((compile_seconds() - before) / (perf_counter() - started))
print(*sorted({str(details.data["dispatcher"].py_func.__name__) for _, details in compiled.buffer}))
"""


@pytest.mark.skipif(not simd.VECTORS, reason="no vectors for this CPU")
def test_the_second_process_compiles_nothing_and_the_first_knows_how_long_it_took(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", RUN]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    (share, *first), (none, *second) = (run.stdout.split() for run in runs)
    assert {"multiply", "own_sum"} <= set(first)
    assert 0.5 < float(share) < 1.0  # kernels that others call are not counted twice
    assert second == []
    assert float(none) == 0.0


@pytest.mark.skipif(not CAN_COMPILE, reason="numba compiles nothing")
def test_numba_is_asked_once_what_a_call_returns(monkeypatch):
    def running_sums(x, out):
        total = np.float32(0)
        for i in range(x.size):
            total += x[i] * x[i]
            out[i, 0] = total

    counts = Counter()
    for owner, name in ((Context, "_resolve_user_function_type"), (BaseContext, "refresh")):
        original = getattr(owner, name)

        def counted(*arguments, name=name, original=original):
            counts[name] += 1
            return original(*arguments)

        monkeypatch.setattr(owner, name, counted)
    asked = []
    for _ in range(2):
        before = counts.copy()
        kernel = njit(pipeline_class=KernelCompiler, no_cfunc_wrapper=True)(running_sums)
        kernel.compile((types.float32[::1], types.float32[:, ::1]))
        out = np.empty((3, 1), np.float32)
        kernel(np.array([1, 2, 3], np.float32), out)
        assert out.ravel().tolist() == [1, 5, 14]
        asked.append(counts - before)
    assert asked[1] == {"refresh": 1}  # when it begins, not once more for every array
