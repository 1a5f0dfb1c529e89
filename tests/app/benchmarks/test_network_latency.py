from __future__ import annotations

import json

from app.benchmarks import memory, network_latency, roofline
from app.benchmarks.generated_graphs import molecules, superpixels
from app.benchmarks.workloads import WORKLOADS, Inputs, Workload
from app.cli.main import main


def test_command_writes_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(WORKLOADS, "zinc", lambda root: Workload(*molecules(graphs=10)))
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
    inputs = Inputs(*superpixels(graphs=2))
    for free, names in ((4e6, ["PyG on CSR", "torch.mm + CSR"]), (4e5, [])):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        rows = network_latency.measure("gcn", inputs, [1], 2)
        assert [row["name"] for row in rows] == [*names, "own FP32", "INT8", "INT4"]
    assert rows[1]["ratios"]["best library FP32"] is None
    assert network_latency.result_table({"workload": "w", "network": "n", "nodes": 1, "edges": 1, "rows": rows})


def test_ratios_are_to_the_fastest_with_the_same_threads():
    times = [
        ("PyG eager", 1, 8.0),
        ("PyG on CSR", 1, 6.0),
        ("own FP32", 1, 3.0),
        ("own FP32", 2, 2.0),
        ("INT8", 2, 1.0),
    ]
    rows = [{"name": name, "threads": threads, "fastest": fastest} for name, threads, fastest in times]
    assert network_latency.ratios_of(rows[2], rows) == {"PyG eager": 8 / 3, "best library FP32": 2.0, "own FP32": 1.0}
    assert network_latency.ratios_of(rows[4], rows) == {"PyG eager": None, "best library FP32": None, "own FP32": 2.0}


def test_a_plot_that_cannot_be_written_is_known_at_once(tmp_path, capsys):
    assert main(["benchmark", "latency", "--plot", str(tmp_path)]) == 2
    assert f"--plot {tmp_path}: is a folder; name a file" in capsys.readouterr().err


def test_missing_graphs_are_named(tmp_path, capsys):
    assert main(["benchmark", "latency", "--workload", "ego-twitter", "--data-root", str(tmp_path)]) == 2
    assert "ego-twitter.npz is missing" in capsys.readouterr().err
