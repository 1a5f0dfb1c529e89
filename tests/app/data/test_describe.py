"""Tables 5 to 7, from the code and the data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main


def test_networks_and_data_sets_are_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters of the digits' GCN: embedding 4 x 146, then what the MNIST network has; 1,797 digits of 64 nodes."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["describe", "digits"]) == 0
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert ["digits", "gcn", "4", "146", "embedding, BatchNorm, residual, mean readout", "101,365"] in rows
    assert ["gin", "4", "110", "MLP of 2, embedding, BatchNorm, residual, sum readout of 5 layers"] in [
        row[1:5] for row in rows
    ]
    assert ["gat", "4", "152", "8 heads, embedding, BatchNorm, residual, mean readout"] in [row[1:5] for row in rows]
    assert [row[:1] + row[3:4] + row[5:] for row in rows if "1,797" in row] == [["digits", "64", "3", "10"]]


def test_data_that_is_not_there_is_said_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["describe", "cora", "--data-root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "23,063" in out
    assert "not here: train.py data status cora" in out


@pytest.mark.parametrize("word", ["--model.lr=3", "--model.scheme.bits=4", "--trainer.max_epochs=3"])
def test_a_setting_that_changes_nothing_of_it_is_refused(refused: Callable[..., str], word: str) -> None:
    told = refused("describe", "synthetic", word)
    assert told.startswith(f"{word[2:-2]}: has no effect: `describe` shows networks and data sets")


def test_a_network_of_ones_own_is_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = ["--model.network", "examples.networks:GIN", "--model.network_args.hidden", "8"]
    assert main(["describe", "digits", *words]) == 0
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│ digits")]
    networks = [[cell.strip() for cell in row] for row in rows if len(row) == 6]
    assert networks == [["digits", "GIN", "3", "", "prepared from GIN, 3 GINConv, 2 QuantLinear", "733"]]


@pytest.mark.parametrize("in_a_file", [True, False])
def test_data_and_a_network_of_ones_own_are_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_a_file: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    mask = np.arange(30) % 3
    np.savez(
        tmp_path / "mine.npz", x=np.eye(30, 5, dtype=np.float32), y=np.arange(30) % 4,
        edge_index=np.stack([np.arange(30), (np.arange(30) + 1) % 30]),
        train_mask=mask == 0, val_mask=mask == 1, test_mask=mask == 2,
    )  # fmt: skip
    data = {"name": "mine", "root": str(tmp_path), "features": "raw"}
    network = ["--model.network", "examples.networks:GCN", "--model.network_args.hidden=8"]
    (tmp_path / "mine.yaml").write_text(json.dumps({"data": data}))
    file = ["--config", str(tmp_path / "mine.yaml")]
    words = file if in_a_file else [f"--data.{key}={value}" for key, value in data.items()]
    assert main(["describe", *network, "graph", *words]) == 0
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│ graph")]
    (described, counted) = ([cell.strip() for cell in row] for row in rows)
    assert described == ["graph", "GCN", "2", "", "prepared from GCN, 2 GCNConv", str(5 * 8 + 8 + 8 * 4 + 4)]
    assert counted == ["graph", "1", "10/10/10", "30", "30.0", "5", "4"]


def test_a_name_that_no_cell_has_is_refused(refused: Callable[..., str]) -> None:
    assert "no data set 'grph'; did you mean 'graph'?" in refused("describe", "grph")
