"""What the benchmark of latency runs on a GPU, here by Triton's interpreter on a small graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.benchmarks.candidates import candidates_for
from app.benchmarks.generated_graphs import superpixels
from app.benchmarks.network_latency import codes_differing, measure, place_of, result_table
from app.benchmarks.peers.registry import NETWORKS
from app.benchmarks.workloads import Inputs

pytestmark = pytest.mark.gpu
NODES, EDGES = 12, 40


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(0)
    return Inputs(NODES, torch.randint(NODES, (2, EDGES), generator=generator).numpy())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("hub", [False, True])
def test_own_peers_compute_what_pyg_does(device, inputs, name, hub):
    """Of rows of a few edges, and of one of so many that it is cut."""
    place = place_of(device)
    if hub:
        sources = torch.arange(1100).numpy() % NODES
        inputs = Inputs(NODES, np.concatenate([inputs.edge_index.numpy(), np.stack([sources, 0 * sources + 3])], 1))
    every, there = candidates_for(name, device=device), inputs.on(place)
    expected = every["PyG eager"].prepare(there, 1).forward()
    for who, tolerance in (("own FP32", 1e-5), ("own FP16", 2e-2)):
        got = every[who].prepare(there, 1).forward()
        assert got.device.type == place.type
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(got.float(), expected, rtol=tolerance, atol=tolerance * scale)


def test_libraries_of_the_cpu_stay_there(device):
    names = list(candidates_for("gcn", more=True, device=device))
    assert names == [
        "PyG eager", "PyG on CSR", "torch.mm + CSR", "torch.compile", "own FP32", "own FP16", "INT8", "INT4",
        "INT8, new graph",
    ]  # fmt: skip


def test_programs_run_there_and_rows_have_their_memory(device, inputs, monkeypatch):
    few = {name: each for name, each in candidates_for("gin", device=device).items() if name.startswith(("PyG", "INT"))}
    monkeypatch.setattr("app.benchmarks.network_latency.candidates_for", lambda *given, **named: few)
    rows, absent = measure("gin", inputs, [1], 2, device=device)
    assert [row["name"] for row in rows] == ["PyG eager", "PyG on CSR", "INT8", "INT4"]
    assert not absent
    assert {row["memory"] is None for row in rows} == {device == "interpreter"}
    with_memory = [row | {"memory": 3_000_000} for row in rows]
    table = result_table({"workload": "w", "network": "gin", "nodes": 1, "edges": 1, "rows": with_memory})
    assert table.columns[-1].header == "MB"
    assert list(table.columns[-1].cells) == ["3"] * 4


def test_codes_are_those_of_the_reference(device, monkeypatch):
    from app.engine.cuda.backend import OPS

    smaller = superpixels(graphs=1, seed=1)
    monkeypatch.setattr("app.benchmarks.network_latency.superpixels", lambda **named: (NODES, smaller[1][:, :0]))
    assert codes_differing("gin", device) == 0
    monkeypatch.setitem(OPS, "lookup", lambda op, place: lambda graph, x: x)
    assert codes_differing("gin", device) > 0


def test_what_is_missing_is_one_sentence(refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device: torch finds no GPU with CUDA here" in refused("benchmark", "latency", "--device", "cuda")
    threads = ("benchmark", "latency", "--device", "cuda", "--threads", "2")
    assert "--threads counts threads of the CPU" in refused(*threads)
