from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

from app.benchmarks import memory, network_memory
from app.cli.main import main

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")


@linux
def test_the_peak_holds_what_is_gone_again():
    before = memory.settled()
    peak = memory.peak_of(lambda: np.ones(5_000_000).sum())
    assert 35e6 < peak - before < 60e6
    assert memory.settled() - before < 5e6


def test_where_the_peak_is_unknown_the_command_says_so(monkeypatch, capsys):
    def refused(path, text):
        raise PermissionError

    monkeypatch.setattr(memory.Path, "write_text", refused)
    assert main(["benchmark", "memory"]) == 2
    assert "use Linux" in capsys.readouterr().err


@linux
@pytest.mark.parametrize("free", [1e12, 1e5])
def test_growth_counts_what_a_candidate_adds(tmp_path, monkeypatch, free):
    monkeypatch.setattr(memory, "available", lambda: free)
    row = network_memory.growth("PyG on CSR", "gin", "cora", tmp_path)
    assert row["workload"] == "cora (generated)"
    assert ("later" in row) == (free > 1e6)
    if "later" in row:
        assert 2708 * 128 * 4 < row["later"] < 40e6  # the result, at least


@linux
def test_command_writes_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(network_memory, "in_fresh_process", network_memory.growth)
    output = tmp_path / "memory.json"
    words = ["benchmark", "memory", "--workload", "cora", "--network", "gat", "--data-root", str(tmp_path)]
    assert main([*words, "--output", str(output)]) == 0
    (result,) = json.loads(output.read_text())["results"]
    assert (result["workload"], result["network"]) == ("cora (generated)", "gat")
    assert [row["name"] for row in result["rows"]] == ["PyG eager", "own FP32", "INT8", "INT4"]
    assert "1.00x" in capsys.readouterr().out
    assert main(["benchmark", "memory", "--network", "gatt"]) == 2
    assert "no 'gatt', expected one of gcn" in capsys.readouterr().err


def test_a_process_that_dies_leaves_a_row_without_figures(monkeypatch):
    monkeypatch.setattr(network_memory, "growth", os._exit)
    row = network_memory.in_fresh_process(9)
    assert row == {"name": 9}
    table = network_memory.memory_table({"workload": "w", "network": "n", "rows": [{"name": "PyG eager"}]})
    assert list(table.columns[1].cells) == ["not run"]
