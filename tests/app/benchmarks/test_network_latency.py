from __future__ import annotations

import json
import os

import pytest
import torch

from app.benchmarks import candidates, memory, network_latency
from app.benchmarks.generated_graphs import molecules, superpixels
from app.benchmarks.limits import roofline
from app.benchmarks.workloads import WORKLOADS, Inputs, Source
from app.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the command wrote figures.json and figures.png of a GCN on ten molecules."""
    folder = tmp_path_factory.mktemp("latency")
    words = ["benchmark", "latency", "--workload", "zinc", "--network", "gcn", "--repeats", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WORKLOADS, "zinc", Source.generated(molecules, graphs=10))
        patch.setattr(roofline, "TABLE", 1 << 20)
        patch.setattr(roofline, "MOVED", 1 << 19)
        assert main([*words, "--output", str(folder / "figures.json"), "--plot", str(folder / "figures.png")]) == 0
    return folder


@pytest.fixture(scope="module")
def figures(folder):
    return json.loads((folder / "figures.json").read_text())


@pytest.fixture(scope="module")
def rows(figures):
    (result,) = figures["results"]
    return result["rows"]


def test_figures_say_what_was_run_where(figures):
    (result,) = figures["results"]
    assert [result[key] for key in ("workload", "network", "nodes", "edges")] == ["zinc (generated)", "gcn", 230, 500]
    assert figures["processor"]
    assert figures["cores"] == os.cpu_count()
    assert figures["versions"]["torch"] == torch.__version__


def test_every_candidate_has_a_row(rows):
    assert [row["name"] for row in rows] == [
        "PyG eager",
        "PyG on CSR",
        "torch.mm + CSR",
        "SciPy + BLAS",
        "own FP32",
        "INT8",
        "INT4",
    ]
    assert [row["threads"] for row in rows] == [1] * 7
    assert rows[0]["constant_bytes"] == 4 * 2 * (128 * 128 + 128)
    assert rows[6]["constant_bytes"] < rows[5]["constant_bytes"] < rows[0]["constant_bytes"] / 3


def test_rows_are_compared_by_their_fastest_calls(rows):
    fastest = {row["name"]: row["fastest"] for row in rows}
    (int8,) = (row["ratios"] for row in rows if row["name"] == "INT8")
    library = min(fastest[name] for name in ("PyG eager", "PyG on CSR", "torch.mm + CSR", "SciPy + BLAS"))
    expected = {"PyG eager": fastest["PyG eager"], "best library FP32": library, "own FP32": fastest["own FP32"]}
    assert int8 == {name: time / fastest["INT8"] for name, time in expected.items()}


def test_compiled_kernels_compute_the_codes_of_the_reference(figures):
    assert figures["codes_differing"] == {"gcn": 0}


def test_rates_of_kernels_stand_beside_the_results(figures):
    (workload,) = figures["roofline"]
    assert workload["workload"] == "zinc (generated)"
    assert {rate["name"] for rate in workload["rates"]} > {"float32 product", "copy", "INT8 linear", "INT8 sum"}


def test_the_plot_is_a_picture(folder):
    assert (folder / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_workload_is_refused_with_the_known_ones(refused):
    assert "no 'zinx', expected one of cora" in refused("benchmark", "latency", "--workload", "zinx")


def test_peers_that_would_fill_the_memory_are_left_out(monkeypatch):
    inputs = Inputs(*superpixels(graphs=2))
    for free, names in ((4e6, ["PyG on CSR", "torch.mm + CSR"]), (4e5, [])):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        rows, left = network_latency.measure("gcn", inputs, [1], 2)
        assert [row["name"] for row in rows] == [*names, "SciPy + BLAS", "own FP32", "INT8", "INT4"]
    assert left == dict.fromkeys(["PyG eager", "PyG on CSR", "torch.mm + CSR"], "would take too much memory")
    assert network_latency.result_table({"workload": "w", "network": "n", "nodes": 1, "edges": 1, "rows": rows})


@pytest.mark.parametrize("where", ["in preparing", "in the first forward"])
def test_a_library_that_fails_is_named_with_its_reason(monkeypatch, capsys, where):
    def fail(*given):
        raise KeyError("an operator\nand a long explanation")

    scipy = fail if where == "in preparing" else lambda *given: candidates.Prepared(fail, 0)
    monkeypatch.setattr(candidates, "prepare_scipy", scipy)
    monkeypatch.setitem(WORKLOADS, "zinc", Source.generated(molecules, graphs=2))
    monkeypatch.setattr(network_latency.roofline, "measure", lambda *given: [])
    assert main(["benchmark", "latency", "--workload", "zinc", "--network", "gin", "--repeats", "2"]) == 0
    reason = "KeyError: 'an operator\\nand a long explanation'"
    assert f"SciPy + BLAS is left out: could not be prepared: {reason}" in capsys.readouterr().out


def test_a_fault_of_our_own_is_not_hidden(monkeypatch):
    def fail(*given, **named):
        raise KeyError("ours")

    monkeypatch.setattr(candidates, "prepare_fused", fail)
    with pytest.raises(KeyError, match="ours"):
        network_latency.measure("gin", Inputs(*superpixels(graphs=1)), [1], 2)


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
