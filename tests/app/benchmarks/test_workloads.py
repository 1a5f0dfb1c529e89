from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from app.benchmarks import workloads
from app.benchmarks.generated_graphs import molecules
from app.benchmarks.workloads import ALL, WORKLOADS, Source, each_inputs, root_of
from app.cli.main import main
from app.errors import UserError

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("name", "nodes", "edges"), [("cora", 2708, 10556), ("citeseer", 3327, 9104)])
def test_citation_networks_are_generated_where_files_are_missing(tmp_path, name, nodes, edges):
    workload = WORKLOADS[name].make(tmp_path)
    assert workload.generated
    assert (workload.nodes, workload.edges.shape) == (nodes, (2, edges))


def test_reddit_binary_is_generated_where_its_files_are_missing(tmp_path):
    workload = WORKLOADS["reddit_binary"].make(tmp_path)
    assert workload.generated
    assert (workload.nodes, workload.edges.shape) == (859254, (2, 1991016))


def test_reddit_binary_is_the_union_of_its_graphs(tmp_path):
    folder = tmp_path / "tudataset" / "REDDIT-BINARY"
    folder.mkdir(parents=True)
    (folder / "REDDIT-BINARY_A.txt").write_text("1, 2\n2, 1\n5, 3\n3, 5\n")
    (folder / "REDDIT-BINARY_graph_indicator.txt").write_text("1\n1\n2\n2\n2\n")
    workload = WORKLOADS["reddit_binary"].make(tmp_path)
    assert not workload.generated
    assert workload.nodes == 5
    assert workload.edges.tolist() == [[0, 1, 4, 2], [1, 0, 2, 4]]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "nodes", "edges"), [("cora", 2708, 10556), ("citeseer", 3327, 9104), ("reddit_binary", 859254, 1991016)]
)
def test_published_graphs_are_taken_where_they_are(name, nodes, edges):
    root = Path(os.environ.get("DEGREE_QUANT_DATA", PROJECT.parent / "shared" / "data"))
    workload = WORKLOADS[name].make(root)
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


def test_all_workloads_are_those_whose_files_are_there(tmp_path, monkeypatch):
    small = {name: Source.generated(molecules, graphs=2) for name in ("zinc", "reddit_full")}
    missing = {"ego-twitter": WORKLOADS["ego-twitter"]}
    monkeypatch.setattr(workloads, "WORKLOADS", small | missing)
    told = []
    found = [title for title, _ in each_inputs(["all"], tmp_path, told.append)]
    assert found == ["zinc (generated)"]
    assert len(told) == 1
    assert told[0].startswith("ego-twitter is left out: ")
    assert [title for title, _ in each_inputs(["reddit_full"], tmp_path, print)] == ["reddit_full (generated)"]


def test_a_root_of_data_is_a_folder_from_which_something_is_read(tmp_path):
    """Without the option there need be none: what has no files is generated."""
    for names in (["cora"], ["zinc", "reddit_binary"], [ALL], ["ego-twitter"]):
        assert root_of(str(tmp_path), names) == tmp_path
        with pytest.raises(UserError, match=rf"--data-root {tmp_path}/none: no such folder; name that of the raw data"):
            root_of(f"{tmp_path}/none", names)
    with pytest.raises(UserError, match="--data-root: has no effect: no file is read for cifar10, zinc; leave it"):
        root_of(str(tmp_path), ["cifar10", "zinc"])
    assert root_of(None, ["zinc"]) == Path(os.environ.get("DEGREE_QUANT_DATA") or "data")


@pytest.mark.parametrize("command", ["callers", "latency", "memory", "processors"])
def test_benchmarks_say_of_a_root_of_data_that_it_has_no_effect(command, tmp_path, capsys):
    assert main(["benchmark", command, "--workload", "zinc", "--data-root", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: --data-root: has no effect: no file is read for zinc; leave it out\n"
