from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.benchmarks import memory, network_memory
from app.cli.main import main

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")


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
    killed = "INT4"
    monkeypatch.setattr(
        network_memory, "in_fresh_process", lambda function, *args: None if killed in args else function(*args)
    )
    output = tmp_path / "memory.json"
    words = ["benchmark", "memory", "--workload", "cora", "--network", "gat", "--data-root", str(tmp_path)]
    assert main([*words, "--output", str(output)]) == 0
    (result,) = json.loads(output.read_text())["results"]
    assert (result["workload"], result["network"]) == ("cora (generated)", "gat")
    assert [row["name"] for row in result["rows"]] == ["PyG eager", "own FP32", "INT8", "INT4"]
    assert ["later" in row for row in result["rows"]] == [True, True, True, False]
    assert "1.00x" in capsys.readouterr().out


@linux
def test_an_unknown_network_is_refused_with_the_known_ones(refused):
    assert "no 'gatt', expected one of gcn" in refused("benchmark", "memory", "--network", "gatt")


def test_a_process_that_is_killed_has_no_result():
    assert network_memory.in_fresh_process(divmod, 7, 3) == (2, 1)
    assert network_memory.in_fresh_process(os._exit, 9) is None


def test_a_row_without_figures_says_that_it_was_not_run():
    table = network_memory.memory_table({"workload": "w", "network": "n", "rows": [{"name": "PyG eager"}]})
    assert list(table.columns[1].cells) == ["not run"]


@linux
def test_a_fresh_process_ends_with_the_one_that_is_killed(tmp_path):
    told = tmp_path / "told"
    call = f"in_fresh_process(os.system, 'echo $PPID > {told}; exec sleep 60')"
    words = [sys.executable, "-c", f"import os; from app.benchmarks.network_memory import in_fresh_process; {call}"]
    parent = subprocess.Popen(words, cwd=Path(__file__).parents[3])
    while not told.exists() or not told.read_text().strip():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    fresh, given_up = Path("/proc", told.read_text().strip()), time.monotonic() + 30
    while fresh.exists() and "Z" not in (fresh / "stat").read_text().rpartition(")")[2].split()[0]:
        assert time.monotonic() < given_up
        time.sleep(0.05)
