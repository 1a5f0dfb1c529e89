from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from app.data.datasets import DATASETS
from datamodules.datasets import superpixels
from datamodules.raw import raw_files
from datamodules.raw.images import published


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    def unreachable(url: str) -> bytes:
        raise OSError("no route to host")

    monkeypatch.setattr(raw_files, "fetch", unreachable)
    monkeypatch.setattr("datamodules.datasets.tudataset.fetch", unreachable)
    monkeypatch.setenv("DEGREE_QUANT_DATA", "elsewhere")
    monkeypatch.setenv("DEGREE_QUANT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "raw").mkdir()


def call(capsys, tmp_path: Path, *words: str) -> tuple[int, list[str]]:
    code = main(["data", *words, "--data-root", str(tmp_path / "raw")])
    out, err = capsys.readouterr()
    return code, (out + err).splitlines()


def test_status_says_what_is_missing_and_where_it_belongs(capsys, tmp_path):
    code, lines = call(capsys, tmp_path, "status")
    assert code == 0
    text = "\n".join(lines)
    for name in DATASETS:
        assert f"{name} " in text
    raw = tmp_path / "raw"
    for place in ("planetoid/Cora/raw", "planetoid/Citeseer/raw", "mnist/raw", "cifar10", "zinc/raw", "tudataset"):
        assert any(line.endswith(f" into {raw / place}") and "https://" in line for line in lines), place
    assert [line for line in lines if line.endswith("ready")] == ["synthetic      ready", "digits         ready"]
    assert list(raw.iterdir()) == []


def test_names_choose_and_may_stand_anywhere(capsys, tmp_path):
    assert call(capsys, tmp_path, "status", "digits")[1] == ["digits         ready"]
    code = main(["data", "status", "--data-root", str(tmp_path / "raw"), "digits", "synthetic"])
    assert (code, capsys.readouterr().out) == (0, "digits         ready\nsynthetic      ready\n")


def test_verify_counts(capsys, tmp_path):
    code, lines = call(capsys, tmp_path, "verify", "digits", "synthetic")
    assert code == 0
    assert lines[0] == ("digits         1,797 graphs (1257/180/360): 64 nodes, 512.0 edges, 3 features, 10 classes")
    assert lines[1].startswith("synthetic      1 graphs (140/500/1000): 2,700 nodes")


@pytest.mark.parametrize("action", ["prepare", "verify"])
def test_what_one_data_set_lacks_does_not_stop_the_others(capsys, tmp_path, action):
    code, lines = call(capsys, tmp_path, action, "cora", "digits", "zinc", "reddit_binary")
    assert code == 2
    assert [line.split()[0] for line in lines] == ["cora", "digits", "zinc", "reddit_binary"]
    assert "files are missing" in lines[2]
    for line in (lines[0], lines[3]):
        assert "train.py data status" in line if action == "verify" else "no route to host): put https://" in line


def test_graphs_are_built_by_prepare_and_not_by_verify(capsys, tmp_path, monkeypatch):
    recipe = superpixels.Recipe(1, 2, 1, 1, superpixels.Slic(75, 95, 0.25))
    pictures = np.eye(28, dtype=np.uint8)[None].repeat(4, 0), np.arange(4, dtype=np.uint8)
    monkeypatch.setattr(superpixels, "RECIPES", {"MNIST": recipe})
    monkeypatch.setattr(published, "MNIST_FILES", {})
    monkeypatch.setattr(published.MnistFiles, "read", lambda self: pictures)
    assert call(capsys, tmp_path, "status", "mnist")[1] == [
        "mnist          1 of 1 thousand graphs to build: train.py data prepare mnist"
    ]
    assert call(capsys, tmp_path, "verify", "mnist")[0] == 2
    assert not (tmp_path / "cache").exists()
    assert call(capsys, tmp_path, "prepare", "mnist")[0] == 0
    code, lines = call(capsys, tmp_path, "verify", "mnist")
    assert code == 0
    assert lines[0].startswith("mnist          4 graphs (2/1/1)")
    assert lines[1].endswith("superpixels built from the images")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["status", "mnits"], "no data set 'mnits'; did you mean 'mnist'?"),
        (["status", "--data-root", "nowhere"], "--data-root nowhere: no such folder"),
    ],
)
def test_a_mistake_is_one_line(capsys, words, sentence):
    assert main(["data", *words]) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


@pytest.fixture
def own_graph(tmp_path):
    """The settings that name a graph of one's own."""
    parts = np.arange(30) % 3
    masks = {f"{part}_mask": parts == number for number, part in enumerate(("train", "val", "test"))}
    edges = np.stack([np.arange(30), (np.arange(30) + 1) % 30])
    np.savez(tmp_path / "mine.npz", x=np.eye(30, 5, dtype=np.float32), y=np.arange(30) % 4, edge_index=edges, **masks)
    return ["--data.name=mine", f"--data.root={tmp_path}"]


def test_data_of_ones_own_is_looked_at_and_counted_by_its_settings(capsys, tmp_path, own_graph):
    assert call(capsys, tmp_path, "status", "graph", *own_graph) == (0, ["graph          ready"])
    code, (line,) = call(capsys, tmp_path, "verify", "graph", *own_graph)
    counts = "1 graphs (10/10/10): 30 nodes, 30.0 edges, 5 features, 4 classes"
    assert (code, line) == (0, f"graph          {counts}")
    code, lines = call(capsys, tmp_path, "verify", "graph", "--data.name=other", own_graph[1])
    assert code == 2
    assert len(lines) == 1
    assert "other" in lines[0]


def test_settings_change_what_is_read_of_our_own_data_sets(capsys, tmp_path):
    code, (line,) = call(capsys, tmp_path, "verify", "synthetic", "--data.num_nodes=2800")
    assert code == 0
    assert " 2,800 nodes" in line
