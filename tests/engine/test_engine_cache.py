"""Kernels are compiled once on a machine, not in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.engine import simd

RUN = """
from numba.core import event

import torch
from app.engine import Executable, Graph
from app.fused_peer import FusedNetwork
from app.network_latency import WIDTH, network_of
from app.workloads import superpixels

nodes, edges = superpixels(graphs=2)
x, graph, network = torch.zeros(nodes, WIDTH), Graph(edges, nodes), network_of("gat", 8)
with event.install_recorder("numba:compile") as compiled:
    Executable(network.lower()).run(x, graph)
    FusedNetwork(network, 1)(x, graph)
print(*sorted({str(details.data["dispatcher"].py_func.__name__) for _, details in compiled.buffer}))
"""


@pytest.mark.skipif(not simd.AVX2, reason="this CPU has no AVX2")
def test_the_second_process_compiles_nothing(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", RUN]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    first, second = (run.stdout.split() for run in runs)
    assert {"multiply", "softmax", "edge_sum"} <= set(first)
    assert second == []
