"""Kernels are compiled once on a machine, not in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
x, graph, network = torch.zeros(nodes, WIDTH), Graph(edges, nodes), calibrated_network("gat", 8)
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
    assert {"multiply", "softmax", "edge_sum"} <= set(first)
    assert 0.5 < float(share) < 1.0  # kernels that others call are not counted twice
    assert second == []
    assert float(none) == 0.0
