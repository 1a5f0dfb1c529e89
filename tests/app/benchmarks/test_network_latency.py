from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from app.benchmarks import candidates, memory, network_latency, roofline, workloads
from app.benchmarks.peers.registry import BY_NETWORK
from app.cli.main import main

PROJECT = Path(__file__).resolve().parents[3]


def test_workloads_have_the_shape_of_the_papers():
    nodes, edges = workloads.superpixels(graphs=3)
    assert (nodes, edges.shape) == (351, (2, 3159))
    assert (edges[0] // 117 == edges[1] // 117).all()
    assert not (edges[0] == edges[1]).any()
    nodes, edges = workloads.molecules(graphs=5)
    assert (nodes, edges.shape) == (115, (2, 250))
    assert (edges[0] // 23 == edges[1] // 23).all()
    nodes, edges = workloads.power_law(100, 1000)
    assert edges.shape == (2, 1000)
    assert 0 <= edges.min() <= edges.max() < nodes


def test_discussions_are_star_like_trees_and_some_answers_more():
    nodes, edges = workloads.discussions(graphs=20, nodes=8592, edges=19910)
    assert nodes == 8592
    assert edges.shape == (2, 19910)
    assert not (edges[0] == edges[1]).any()
    assert Counter(zip(*edges.tolist(), strict=True)) == Counter(zip(*edges[::-1].tolist(), strict=True))
    ones = np.ones(edges.shape[1])
    number, graph = connected_components(coo_matrix((ones, edges), (nodes, nodes)))
    assert number == 20
    assert (np.diff(graph) >= 0).all()
    sizes, degrees = np.bincount(graph), np.bincount(edges[1])
    assert sizes.max() > 4 * np.median(sizes)
    hubs = np.maximum.reduceat(degrees, np.flatnonzero(np.diff(graph, prepend=-1)))
    assert np.median(hubs / sizes) > 0.1
    assert np.median(degrees) == 1


@pytest.mark.parametrize(("name", "nodes", "edges"), [("cora", 2708, 10556), ("citeseer", 3327, 9104)])
def test_citation_networks_are_generated_where_files_are_missing(tmp_path, name, nodes, edges):
    workload = workloads.WORKLOADS[name](tmp_path)
    assert workload.generated
    assert (workload.nodes, workload.edges.shape) == (nodes, (2, edges))


def test_reddit_binary_is_generated_where_its_files_are_missing(tmp_path):
    workload = workloads.WORKLOADS["reddit_binary"](tmp_path)
    assert workload.generated
    assert (workload.nodes, workload.edges.shape) == (859254, (2, 1991016))


def test_reddit_binary_is_the_union_of_its_graphs(tmp_path):
    folder = tmp_path / "tudataset" / "REDDIT-BINARY"
    folder.mkdir(parents=True)
    (folder / "REDDIT-BINARY_A.txt").write_text("1, 2\n2, 1\n5, 3\n3, 5\n")
    (folder / "REDDIT-BINARY_graph_indicator.txt").write_text("1\n1\n2\n2\n2\n")
    workload = workloads.WORKLOADS["reddit_binary"](tmp_path)
    assert not workload.generated
    assert workload.nodes == 5
    assert workload.edges.tolist() == [[0, 1, 4, 2], [1, 0, 2, 4]]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "nodes", "edges"), [("cora", 2708, 10556), ("citeseer", 3327, 9104), ("reddit_binary", 859254, 1991016)]
)
def test_published_graphs_are_taken_where_they_are(name, nodes, edges):
    root = Path(os.environ.get("DEGREE_QUANT_DATA", PROJECT.parent / "shared" / "data"))
    workload = workloads.WORKLOADS[name](root)
    if workload.generated:
        pytest.skip(f"no {name} in {root}")
    assert (workload.nodes, workload.edges.shape) == (nodes, (2, edges))


def test_stored_graphs_run_both_ways(tmp_path):
    (tmp_path / "large").mkdir()
    arrays = {"num_nodes": np.int64(3), "rowptr": np.int32([0, 2, 3, 3]), "col": np.int32([1, 2, 0])}
    np.savez(tmp_path / "large" / "some.npz", **arrays)
    nodes, edges, generated = workloads.stored("some", tmp_path)
    assert (nodes, generated) == (3, False)
    assert sorted(zip(*edges.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 0), (2, 0)]


@pytest.mark.parametrize("name", candidates.NETWORKS)
def test_peers_compute_the_same_and_the_program_nearly(name):
    nodes, edges = workloads.superpixels(graphs=2)
    inputs = candidates.Inputs(nodes, np.unique(workloads.both_ways(edges), axis=1))
    results = {who: build(inputs, 1)[0]() for who, build in candidates.choice(name).items()}
    expected = torch.as_tensor(results["PyG eager"])
    floats = [result for who, result in results.items() if not who.startswith("INT")]
    for result in floats:
        torch.testing.assert_close(torch.as_tensor(result), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(results["INT8"] - expected.numpy()).mean() < 0.2 * expected.abs().mean()
    peers = BY_NETWORK[name]
    assert len(floats) == 2 + peers.on_csr + (peers.matrix_products is not None)


def test_command_writes_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(workloads.WORKLOADS, "zinc", lambda root: workloads.Workload(*workloads.molecules(graphs=10)))
    monkeypatch.setattr(roofline, "TABLE", 1 << 20)
    monkeypatch.setattr(roofline, "MOVED", 1 << 19)
    output, picture = tmp_path / "figures.json", tmp_path / "figures.png"
    words = ["benchmark", "latency", "--workload", "zinc", "--network", "gcn", "--repeats", "2"]
    assert main([*words, "--output", str(output), "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    figures = json.loads(output.read_text())
    assert figures["codes_differing"] == {"gcn": 0}
    assert figures["results"][0]["workload"] == "zinc (generated)"
    rows = figures["results"][0]["rows"]
    assert [row["name"] for row in rows] == ["PyG eager", "PyG on CSR", "torch.mm + CSR", "own FP32", "INT8", "INT4"]
    assert rows[3]["ratios"]["own FP32"] == 1.0
    assert rows[4]["ratios"]["own FP32"] == rows[3]["fastest"] / rows[4]["fastest"]
    (workload,) = figures["roofline"]
    assert workload["workload"] == "zinc (generated)"
    assert {rate["name"] for rate in workload["rates"]} > {"float32 product", "copy", "INT8 linear", "INT8 sum"}
    library = min(row["fastest"] for row in rows[:3])
    assert rows[4]["ratios"]["best library FP32"] == library / rows[4]["fastest"]
    assert main(["benchmark", "latency", "--workload", "zinx"]) == 2
    assert "no 'zinx', expected one of cora" in capsys.readouterr().err


def test_peers_that_would_fill_the_memory_are_left_out(monkeypatch):
    inputs = candidates.Inputs(*workloads.superpixels(graphs=2))
    for free, names in ((4e6, ["PyG on CSR", "torch.mm + CSR"]), (4e5, [])):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        rows = network_latency.measure("gcn", inputs, [1], 2)
        assert [row["name"] for row in rows] == [*names, "own FP32", "INT8", "INT4"]
    assert rows[1]["ratios"]["best library FP32"] is None
    assert network_latency.latency_table({"workload": "w", "network": "n", "nodes": 1, "edges": 1, "rows": rows})


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


def test_bars_are_ratios_to_pyg_eager_in_a_group_for_every_network():
    pytest.importorskip("matplotlib")
    from app.reports.latency_plot import speedups

    def result(network, ratios):
        rows = [{"name": name, "threads": 1, "ratios": {"PyG eager": ratio}} for name, ratio in ratios.items()]
        return {"workload": "zinc", "network": network, "rows": rows}

    both = [result("gcn", {"PyG eager": 1.0, "INT8": 8.0}), result("gat", {"own FP32": None, "INT8": None})]
    (axes,) = speedups([*both, result("gin", {"PyG eager": 1.0, "INT8": 4.0})]).axes
    bars = {container.get_label(): container.patches for container in axes.containers}
    heights = {name: [bar.get_height() for bar in found] for name, found in bars.items()}
    assert heights == {"PyG eager": [1.0, 1.0], "INT8": [8.0, 4.0], "own FP32": []}
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in bars["INT8"]] == [0, 2]
    assert bars["PyG eager"][0].get_x() + bars["PyG eager"][0].get_width() <= bars["INT8"][0].get_x()
    assert axes.get_yscale() == "log"
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["gcn\nzinc", "gat\nzinc\n(PyG eager not run)", "gin\nzinc"]


def test_a_plot_that_cannot_be_written_is_known_at_once(tmp_path, capsys):
    assert main(["benchmark", "latency", "--plot", str(tmp_path)]) == 2
    assert f"--plot {tmp_path}: is a folder; name a file" in capsys.readouterr().err


def test_all_workloads_are_those_whose_files_are_there(tmp_path, monkeypatch):
    small = {name: lambda root: workloads.Workload(*workloads.molecules(graphs=2)) for name in ("zinc", "reddit_full")}
    missing = {"ego-twitter": workloads.WORKLOADS["ego-twitter"]}
    monkeypatch.setattr(candidates, "WORKLOADS", small | missing)
    told = []
    found = [title for title, _ in candidates.workloads(["all"], tmp_path, told.append)]
    assert found == ["zinc (generated)"]
    assert len(told) == 1
    assert told[0].startswith("ego-twitter is left out: ")
    assert [title for title, _ in candidates.workloads(["reddit_full"], tmp_path, print)] == ["reddit_full (generated)"]


def test_missing_graphs_are_named(tmp_path, capsys):
    assert main(["benchmark", "latency", "--workload", "ego-twitter", "--data-root", str(tmp_path)]) == 2
    assert "ego-twitter.npz is missing" in capsys.readouterr().err
