from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch_geometric.io import read_tu_data

from datamodules import DataError, RedditBinaryDataModule, TUDataModule
from datamodules.datasets import tudataset

COUNT = 30


def lines(rows) -> str:
    return "".join(f"{row}\n" for row in rows)


def toy_files() -> dict[str, str]:
    """30 graphs: a path of 2 to 6 nodes in both directions, every seventh without edges; labels -1 and 1."""
    indicator, edges, first = [], [], 1
    for graph in range(COUNT):
        nodes = 2 + graph % 5
        indicator += [graph + 1] * nodes
        if graph % 7:
            path = [(k, k + 1) for k in range(first, first + nodes - 1)]
            edges += path + [(b, a) for a, b in path]
        first += nodes
    return {
        "A": lines(f"{a}, {b}" for a, b in edges),
        "graph_indicator": lines(indicator),
        "graph_labels": lines(1 if graph % 2 else -1 for graph in range(COUNT)),
        "node_labels": lines(3 + node % 3 for node in range(len(indicator))),
        "node_attributes": lines(f"{node / 4}, {-node / 8}" for node in range(len(indicator))),
        "graph_attributes": lines(f"{graph / 4}, {graph}" for graph in range(COUNT)),
    }


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """write("A", "graph_indicator", ...) puts these files, or changed ones, into a folder and returns the root."""

    def put(*parts: str, **changed: str) -> Path:
        folder = tmp_path / "TOY"
        folder.mkdir(exist_ok=True)
        for part, content in {**{part: toy_files()[part] for part in parts}, **changed}.items():
            (folder / f"TOY_{part}.txt").write_text(content)
        return tmp_path

    return put


PLAIN = ("A", "graph_indicator", "graph_labels")


def loaded(root: Path, **arguments) -> TUDataModule:
    datamodule = TUDataModule("TOY", str(root), **arguments)
    datamodule.setup()
    return datamodule


def everything(datamodule: TUDataModule):
    return datamodule.store[torch.arange(len(datamodule.store))]


def refusal(root: Path, **arguments) -> str:
    with pytest.raises(DataError) as caught:
        loaded(root, **arguments)
    sentence = str(caught.value)
    assert sentence.startswith("TOY: ")
    assert "\n" not in sentence
    return sentence


def test_it_is_what_pyg_reads(write):
    root = write(*PLAIN, "node_labels", "node_attributes")
    data, slices, _ = read_tu_data(str(root / "TOY"), "TOY")
    ours = loaded(root)
    batch = everything(ours)
    assert torch.equal(batch.x, data.x.float())
    assert torch.equal(batch.y, data.y)
    assert torch.equal(batch.ptr, slices["x"])
    assert {tuple(e) for e in batch.edge_index.T.tolist()} == {
        (s + int(slices["x"][g]), t + int(slices["x"][g]))
        for g in range(COUNT)
        for s, t in data.edge_index[:, slices["edge_index"][g] : slices["edge_index"][g + 1]].T.tolist()
    }
    assert (ours.num_features, ours.num_classes, ours.task) == (5, 2, "graph_classification")


@pytest.mark.parametrize(("parts", "width"), [((), 1), (("node_labels",), 3), (("node_attributes",), 2),
                                              (("node_attributes", "node_labels"), 5)])  # fmt: skip
def test_the_width_is_known_when_the_object_is_made(write, parts, width):
    root = write(*PLAIN, *parts)
    assert TUDataModule("TOY", str(root)).num_features == width
    assert loaded(root).store.x.shape == (len(toy_files()["graph_indicator"].splitlines()), width)


def test_degree_is_standardised_over_the_training_graphs(write):
    datamodule = loaded(write(*PLAIN), fold=4)
    batch = everything(datamodule)
    trained = torch.isin(batch.batch, datamodule.split.train)
    torch.testing.assert_close(batch.x[trained].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(batch.x[trained].std(), torch.tensor(1.0))
    degree = torch.bincount(batch.edge_index[1], minlength=batch.num_nodes)
    assert torch.equal(batch.x[:, 0].argsort(stable=True), degree.argsort(stable=True))


@pytest.mark.parametrize("target", [0, 1])
def test_attributes_of_graphs_are_targets_of_a_regression(write, target):
    datamodule = loaded(write("A", "graph_indicator", "graph_attributes"), task="graph_regression", target=target)
    assert datamodule.num_classes == 1
    assert datamodule.store.y.tolist() == [graph * (1 if target else 0.25) for graph in range(COUNT)]
    assert [len(part) for part in vars(datamodule.split).values()] == [24, 3, 3]


def test_a_zip_in_any_compression_holds_the_same_graphs(write, tmp_path):
    root = write(*PLAIN, "node_labels")
    expected = everything(loaded(root))
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED):
        other = tmp_path / str(method)
        other.mkdir()
        with zipfile.ZipFile(other / "TOY.zip", "w", method) as archive:
            for file in (root / "TOY").iterdir():
                archive.write(file, f"TOY/{file.name}")
        found = everything(loaded(other))
        assert all(torch.equal(found[part], expected[part]) for part in ("x", "edge_index", "y", "ptr"))


def test_pygs_folder_is_found(write):
    root = write(*PLAIN)
    (root / "raw").mkdir()
    for file in (root / "TOY").iterdir():
        file.rename(root / "raw" / file.name)
    (root / "raw").rename(root / "TOY" / "raw")
    assert len(loaded(root).store) == COUNT


INDICATOR = toy_files()["graph_indicator"]
A = toy_files()["A"]


@pytest.mark.parametrize(
    ("part", "content", "words"),
    [
        ("A", A + "1, 1000\n", ["TOY_A.txt line 151", "edge (1, 1000), but the nodes are 1 to 120"]),
        ("A", "0, 1\n" + A, ["TOY_A.txt line 1", "edge (0, 1)"]),
        ("A", A + "1, 3\n", ["TOY_A.txt line 151", "joins two different graphs"]),
        ("A", A + "1, x\n", ["TOY_A.txt line 151", "expected 2 whole numbers, got '1, x'"]),
        ("A", "1, 2\n1\n", ["TOY_A.txt line 2", "expected 2 whole numbers, got '1'"]),
        ("A", "1, 2\n\n2, 1\n", ["TOY_A.txt line 2", "expected 2 whole numbers, got ''"]),
        ("A", "", ["TOY_A.txt is empty"]),
        ("graph_indicator", INDICATOR + "31\n", ["TOY_graph_labels.txt has 30 lines for 31 graphs"]),
        ("graph_indicator", INDICATOR.replace("4\n", "", 5).replace("14\n", ""), ["has no nodes"]),
        ("graph_indicator", INDICATOR.replace("2\n", "3\n", 1), ["TOY_graph_indicator.txt line 4", "in order"]),
        ("graph_indicator", INDICATOR.replace("1\n", "", 2), ["TOY_graph_indicator.txt line 1", "in order from 1"]),
        ("graph_labels", "1\n" * 29, ["TOY_graph_labels.txt has 29 lines for 30 graphs"]),
        ("graph_labels", "1\n" * 29 + "one\n", ["TOY_graph_labels.txt line 30", "expected 1 whole number, got 'one'"]),
        ("node_labels", "1\n" * 119, ["TOY_node_labels.txt has 119 lines for 120 nodes"]),
        ("node_attributes", "1.5, 2\n" * 119 + "1.5\n", ["TOY_node_attributes.txt line 120"]),
        ("node_attributes", "1.5, 2\n" * 121, ["TOY_node_attributes.txt has 121 lines for 120 nodes"]),
    ],
)
def test_a_wrong_line_is_named(write, part, content, words):
    sentence = refusal(write(*PLAIN, **{part: content}))
    for word in (*words, "TOY.zip again" if "correct" not in sentence else "correct it"):
        assert word in sentence


@pytest.mark.parametrize(
    ("parts", "task", "sentence"),
    [
        (("A", "graph_indicator"), "graph_classification", "no TOY_graph_labels.txt"),
        (("A", "graph_labels"), "graph_classification", "TOY_graph_indicator.txt is missing"),
        (PLAIN, "graph_regression", "TOY_graph_attributes.txt is missing"),
    ],
)
def test_a_missing_file_is_named(write, parts, task, sentence):
    assert sentence in refusal(write(*parts), task=task)


def test_a_target_that_is_not_there_is_named(write):
    root = write(*PLAIN, "graph_attributes")
    assert "target 2, but graphs have 2 attributes" in refusal(root, task="graph_regression", target=2)


def test_missing_data_says_where_it_belongs(tmp_path):
    sentence = refusal(tmp_path)
    for word in ("https://www.chrsmrrs.com/graphkerneldatasets/TOY.zip", str(tmp_path / "TOY"), "TOY_A.txt"):
        assert word in sentence


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_zip_is_named(write, tmp_path, method, damage):
    root = write(*PLAIN)
    other = tmp_path / "zip"
    other.mkdir()
    path = other / "TOY.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted((root / "TOY").iterdir()):
            archive.write(file, f"TOY/{file.name}")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[100] ^= 255
    path.write_bytes(content)
    assert "TOY.zip is cut or damaged" in refusal(other)


def test_a_file_that_is_no_text_is_named(write):
    root = write(*PLAIN)
    (root / "TOY" / "TOY_A.txt").write_bytes(b"\xff\xfe\x00")
    assert "TOY_A.txt is not a text file" in refusal(root)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"fold": 0}, "fold: expected 1 to 10"),
        ({"folds": "random"}, "folds: expected one of stratified, given"),
        ({"task": "node_classification"}, "task: expected one of graph_classification, graph_regression"),
        ({"target": -1}, "target: expected at least 0"),
    ],
)
def test_values_outside_their_range_are_refused(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        TUDataModule("TOY", str(tmp_path), **arguments)


class TestRedditBinary:
    def test_attributes_are_known_before_the_disk_is_touched(self):
        datamodule = RedditBinaryDataModule("nowhere")
        assert (datamodule.name, datamodule.num_features, datamodule.num_classes) == ("REDDIT-BINARY", 1, 2)
        assert datamodule.missing()[0].endswith("REDDIT-BINARY.zip into nowhere")
        with pytest.raises(DataError, match=r"REDDIT-BINARY: no REDDIT-BINARY_A\.txt"):
            datamodule.setup()

    def test_without_a_network_it_says_where_the_file_belongs(self, tmp_path, monkeypatch):
        def unreachable(url: str) -> bytes:
            raise URLError("no route to host")

        monkeypatch.setattr(tudataset, "fetch", unreachable)
        with pytest.raises(DataError, match=r"download failed \(no route to host\): put https://.*BINARY\.zip into"):
            RedditBinaryDataModule(str(tmp_path)).prepare_data()
        assert list(tmp_path.iterdir()) == []

    def test_a_label_it_does_not_have_is_named(self, tmp_path):
        folder = tmp_path / "REDDIT-BINARY"
        folder.mkdir()
        for part in PLAIN:
            content = toy_files()[part].replace("-1", "2", 1) if part == "graph_labels" else toy_files()[part]
            (folder / f"REDDIT-BINARY_{part}.txt").write_text(content)
        with pytest.raises(DataError, match=r"graph_labels\.txt line 1: label 2, expected one of \[-1, 1\]"):
            RedditBinaryDataModule(str(tmp_path)).setup()

    def test_other_counts_are_refused(self, tmp_path):
        folder = tmp_path / "REDDIT-BINARY"
        folder.mkdir()
        for part in PLAIN:
            (folder / f"REDDIT-BINARY_{part}.txt").write_text(toy_files()[part])
        with pytest.raises(DataError, match=r"\(30, 120, 150\) graphs, nodes and edges, expected \(2000, 859254"):
            RedditBinaryDataModule(str(tmp_path)).setup()

    @pytest.mark.data
    def test_the_real_one(self, tudataset_root):
        datamodule = RedditBinaryDataModule(str(tudataset_root), fold=3)
        datamodule.setup()
        store, split = datamodule.store, datamodule.split
        assert (len(store), len(store.x), store.edge_index.size(1)) == (2000, 859254, 1991016)
        assert [store.y[part].bincount().tolist() for part in vars(split).values()] == [[800] * 2, [100] * 2, [100] * 2]
        pairs = store[torch.arange(200)].edge_index
        assert {tuple(e) for e in pairs.T.tolist()} == {tuple(e) for e in pairs.flip(0).T.tolist()}

    @pytest.mark.data
    def test_the_given_folds(self, tudataset_root):
        datamodule = RedditBinaryDataModule(str(tudataset_root), folds="given", fold=1)
        datamodule.setup()
        numbers = (tudataset_root / "REDDIT-BINARY_10fold_idx" / "test_idx-1.txt").read_text().split()
        assert sorted(map(int, numbers)) == datamodule.split.test.tolist()
