"""A network of one's own on the command line: trained, exported, and taken by what comes after training."""

from __future__ import annotations

import sys
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


NOTHING_TO_LEARN = """
from examples.networks import GraphSAGE
from torch import nn
from torch_geometric.nn import GCNConv


def Frozen(in_channels, out_channels):
    return GraphSAGE(in_channels, out_channels, hidden=8).requires_grad_(False)


class Lazy(nn.Module):
    def __init__(self, out_channels):
        super().__init__()
        self.conv = GCNConv(-1, out_channels)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index)


class Empty(nn.Module):
    def forward(self, x, edge_index):
        return x
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Frozen", "model: no parameter of the network is trained, each has requires_grad false: leave some true"),
        (
            "Lazy",
            "conv: has no weights yet: give the width that it reads (take in_channels as an argument), or run the "
            "model once",
        ),
        (
            "Empty",
            "Empty: no layer that reads x says how wide it is; let one with weights, such as nn.Linear, read it first",
        ),
    ],
)
@pytest.mark.parametrize("command", ["fit", "tune", "benchmark training", "benchmark scale"])
def test_a_network_that_cannot_be_trained_is_one_line(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str, told: str
) -> None:
    (tmp_path / "untrainable.py").write_text(NOTHING_TO_LEARN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "untrainable", raising=False)
    words = ("--cell", "synthetic/sage/fp32", f"--model.network=untrainable:{name}")
    more = {
        "fit": ("--runs-root", tmp_path),
        "tune": ("--output", tmp_path / "o", "--storage", tmp_path / "s"),
        "benchmark scale": ("--size", "2000:4"),
    }
    assert refused(*command.split(), *words, *more.get(command, ())) == told
