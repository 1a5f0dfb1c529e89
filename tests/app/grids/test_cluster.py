"""Work on a cluster of Ray with nodes on this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

from app.config.grids import parse_shard  # noqa: E402
from app.errors import UserError  # noqa: E402
from app.grids.cluster import Cluster, Surroundings  # noqa: E402
from app.grids.runners import Spread  # noqa: E402
from tests.killed_node import cluster_of  # noqa: E402


@pytest.mark.slow
def test_work_is_done_on_a_cluster_and_what_ends_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One test, as a cluster takes seconds to begin; `python -m tests.killed_node` trains a grid on one."""
    monkeypatch.setattr("app.grids.cluster.ATTEMPTS", 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # of the nodes: a run has as many threads as it asks for, all the same
    monkeypatch.setenv("DEGREE_QUANT_CACHE", str(tmp_path / "cache"))
    found: list[tuple[object, object]] = []

    def work(spread: Spread) -> None:
        found.extend(spread(parse_shard, ["2/3"]))
        found.extend(spread(os.getenv, ["OMP_NUM_THREADS", "DEGREE_QUANT_CACHE"]))
        with pytest.raises(UserError, match=r"^--shard '3/2': expected I/N"):
            list(spread(parse_shard, ["3/2"]))
        with pytest.raises(UserError, match=r"^--ray: 9: 2 processes or nodes were lost"):
            found.extend(spread(signal.raise_signal, [9, 0]))

    with cluster_of(1) as cluster:
        with pytest.raises(
            UserError, match=r"--cpus-per-run 2: no node of the cluster has as many \(the largest: 1 CPU"
        ):
            Cluster(cluster.address, cpus=2, gpus=0, shared=None)
        ray.shutdown()
        runner = Cluster(cluster.address, cpus=1, gpus=0, shared=tmp_path)
        assert runner.jobs == 1
        runner.run(work)
        assert not ray.is_initialized()
    assert dict(found) == {
        "2/3": (2, 3),
        "OMP_NUM_THREADS": "1",
        "DEGREE_QUANT_CACHE": str(tmp_path / "cache"),
        0: None,
    }
    assert capsys.readouterr().err.count("9: its process or node was lost; it goes on in another one") == 1
    assert not list(tmp_path.glob(".shared-*"))


def test_a_node_without_the_folders_is_one_sentence(tmp_path: Path) -> None:
    for folder, token, missing in (
        (tmp_path / "none", None, tmp_path / "none"),
        (tmp_path, tmp_path / "runs" / "token", tmp_path / "runs"),
    ):
        with pytest.raises(UserError, match=f"does not see {missing}: all nodes have to share it"):
            Surroundings(folder, token, threads=1).enter()


def test_no_cluster_there_is_one_sentence(refused: Callable[..., str], tmp_path: Path) -> None:
    told = refused("reproduce", "digits", "--ray", "127.0.0.1:1", "--runs-root", tmp_path, "--seeds", "0")
    assert told.startswith("--ray 127.0.0.1:1: no cluster that this machine is a node of (")


def test_without_ray_it_is_one_sentence(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "app.grids.cluster")
    told = refused("reproduce", "digits", "--ray", "auto", "--runs-root", tmp_path, "--seeds", "0")
    assert told == "--ray needs Ray: python -m pip install -e '.[cluster]'"
