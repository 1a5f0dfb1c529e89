from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from app import network_latency, workloads
from app.cli import main
from app.engine import Executable
from app.memory import peak_growth


def test_workloads_have_the_shape_of_the_papers():
    nodes, edges = workloads.superpixels(graphs=3)
    assert (nodes, edges.shape) == (351, (2, 3159))
    assert (edges[0] // 117 == edges[1] // 117).all()
    assert not (edges[0] == edges[1]).any()
    nodes, edges = workloads.molecules(graphs=5)
    assert (nodes, edges.shape) == (115, (2, 250))
    assert (edges[0] // 23 == edges[1] // 23).all()
    nodes, edges = workloads.reddit_scale(100, 1000)
    assert edges.shape == (2, 1000)
    assert 0 <= edges.min() <= edges.max() < nodes


def test_stored_graphs_run_both_ways(tmp_path):
    (tmp_path / "large").mkdir()
    arrays = {"num_nodes": np.int64(3), "rowptr": np.int32([0, 2, 3, 3]), "col": np.int32([1, 2, 0])}
    np.savez(tmp_path / "large" / "some.npz", **arrays)
    nodes, edges = workloads.stored("some", tmp_path)
    assert nodes == 3
    assert sorted(zip(*edges.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 0), (2, 0)]


@pytest.mark.parametrize("name", network_latency.NETWORKS)
def test_peers_compute_the_same_and_the_program_nearly(name):
    nodes, edges = workloads.superpixels(graphs=2)
    edges = np.unique(workloads.both_ways(edges), axis=1)
    x = torch.randn(nodes, network_latency.WIDTH)
    results = [call() for _, call in network_latency.peers(name, x, torch.from_numpy(edges))]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-4)
    got = Executable(network_latency.network_of(name, 8).lower()).run(x, edges)
    assert np.abs(got - results[0].numpy()).mean() < 0.2 * results[0].abs().mean()
    assert len(results) == {"gcn": 3, "gcn_factored": 3, "gin": 2, "gat": 1}[name]


def test_command_writes_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(workloads.WORKLOADS, "zinc", lambda root: workloads.molecules(graphs=10))
    output = tmp_path / "figures.json"
    words = ["benchmark", "latency", "--workload", "zinc", "--network", "gcn", "--repeats", "2"]
    assert main([*words, "--output", str(output)]) == 0
    figures = json.loads(output.read_text())
    assert figures["codes_differing"] == {"gcn": 0}
    rows = figures["results"][0]["rows"]
    assert [row["name"] for row in rows] == ["PyG eager", "PyG on CSR", "torch.mm + CSR", "own FP32", "INT8", "INT4"]
    assert rows[3]["ratios"]["own FP32"] == 1.0
    assert rows[4]["ratios"]["own FP32"] == rows[3]["fastest"] / rows[4]["fastest"]
    library = min(row["fastest"] for row in rows[:3])
    assert rows[4]["ratios"]["best library FP32"] == library / rows[4]["fastest"]
    assert main(["benchmark", "latency", "--workload", "zinx"]) == 2
    assert "no 'zinx', expected one of cora" in capsys.readouterr().err


def test_ratios_are_to_the_fastest_with_the_same_threads():
    times = [
        ("PyG eager", 1, 8.0),
        ("PyG on CSR", 1, 6.0),
        ("own FP32", 1, 3.0),
        ("own FP32", 2, 2.0),
        ("INT8", 2, 1.0),
    ]
    rows = [{"name": name, "threads": threads, "fastest": fastest} for name, threads, fastest in times]
    assert network_latency.ratios(rows[2], rows) == {"PyG eager": 8 / 3, "best library FP32": 2.0, "own FP32": 1.0}
    assert network_latency.ratios(rows[4], rows) == {"PyG eager": None, "best library FP32": None, "own FP32": 2.0}


def test_missing_graphs_are_named(tmp_path, capsys):
    assert main(["benchmark", "latency", "--workload", "ego-twitter", "--data-root", str(tmp_path)]) == 2
    assert "ego-twitter.npz is missing" in capsys.readouterr().err


def test_peak_growth_sees_an_array():
    growth = peak_growth(lambda: np.ones(5_000_000))
    assert growth is None or 35e6 < growth < 60e6
