"""A network of one's own on the command line: trained, exported, and taken by what comes after training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import main
from app.runs.run_folder import Run

NETWORK = ["--model.network=examples.networks:GraphSAGE", "--model.network_args.hidden=8"]
CELL = "synthetic/sage/dq_int8"


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory, small: Callable[..., list[str]]) -> Run:
    """A run of GraphSAGE of the examples."""
    root = tmp_path_factory.mktemp("own")
    words = ["fit", "--cell", CELL, "--runs-root", str(root), *small(3), *NETWORK]
    assert main(words) == 0
    return Run(root / "synthetic/GraphSAGE/dq_int8/seed=0")


def test_its_program_computes_what_was_trained(own_run: Run) -> None:
    exactness = own_run.read_result()["exactness"]
    assert exactness is not None
    assert exactness["codes"] > 0
    assert exactness["margin_violations"] == 0


def test_the_run_is_found_again_and_has_predictions(
    own_run: Run, small: Callable[..., list[str]], tmp_path: Path
) -> None:
    root = own_run.directory.parents[3]
    words = ["--cell", CELL, "--runs-root", str(root), *small(3), *NETWORK]
    before = own_run.read_result()
    assert main(["fit", *words]) == 0
    assert own_run.read_result() == before
    assert main(["predict", *words, "--output", str(tmp_path / "predictions.csv")]) == 0
    assert (tmp_path / "predictions.csv").is_file()


def test_it_is_timed_against_itself(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--run", str(own_run.directory), "--repeats", "2"]) == 0
    assert "PyG FP32" in capsys.readouterr().out


def test_its_sites_are_weighed_one_by_one(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sensitivity", "--run", str(own_run.directory), "--format", "csv"]) == 0
    assert "convs.0.neighbours.weights" in capsys.readouterr().out


def test_a_network_of_which_nothing_is_trained_is_one_line(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "frozen_networks.py").write_text(
        "from examples.networks import GraphSAGE\n\n\n"
        "def Frozen(in_channels, out_channels):\n"
        "    return GraphSAGE(in_channels, out_channels, hidden=8).requires_grad_(False)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ("--model.network=frozen_networks:Frozen", "--runs-root", tmp_path)
    assert refused("fit", "--cell", CELL, *words).startswith("model: no parameter of the network is trained, ")
