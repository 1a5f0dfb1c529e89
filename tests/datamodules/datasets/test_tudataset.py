from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch_geometric.io import read_tu_data

from datamodules import DataError, DataWarning, RedditBinaryDataModule, TUDataModule
from datamodules.datasets import tudataset

COUNT = 30
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


def test_it_is_what_pyg_reads(write_tu):
    root = write_tu(*PLAIN, "node_labels", "node_attributes")
    data, slices, _ = read_tu_data(str(root / "TOY"), "TOY")
    ours = loaded(root, standardize=False)
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
def test_the_width_is_known_when_the_object_is_made(write_tu, parts, width):
    root = write_tu(*PLAIN, *parts)
    assert TUDataModule("TOY", str(root)).num_features == width
    assert loaded(root).store.x.shape == (120, width)


def test_degree_is_standardised_over_the_training_graphs(write_tu):
    datamodule = loaded(write_tu(*PLAIN), fold=3)
    batch = everything(datamodule)
    trained = torch.isin(batch.batch, datamodule.split.train)
    torch.testing.assert_close(batch.x[trained].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(batch.x[trained].std(), torch.tensor(1.0))
    degree = torch.bincount(batch.edge_index[1], minlength=batch.num_nodes)
    assert torch.equal(batch.x[:, 0].argsort(stable=True), degree.argsort(stable=True))


def test_attributes_are_standardised_over_the_training_graphs_and_labels_are_not(write_tu):
    datamodule = loaded(write_tu(*PLAIN, "node_attributes", "node_labels"), fold=3)
    trained = datamodule.store[datamodule.split.train].x
    torch.testing.assert_close(trained[:, :2].mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(trained[:, :2].std(0), torch.ones(2))
    assert set(trained[:, 2:].unique().tolist()) == {0.0, 1.0}


def test_each_column_of_node_labels_is_one_hot(write_tu):
    labels = "".join(f"{node % 2}, {3 + node % 3}\n" for node in range(120))
    root = write_tu(*PLAIN, node_labels=labels)
    data, _, _ = read_tu_data(str(root / "TOY"), "TOY")
    ours = loaded(root)
    assert ours.num_features == 5
    assert torch.equal(ours.store.x, torch.cat([data.x[:, :2], data.x[:, -3:]], dim=1))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"-1": "-1"}, (-1, 1)),
        ({"-1": "0"}, ()),
        ({"-1": "no", "1": "yes"}, ("no", "yes")),
    ],
)
def test_labels_are_kept(write_tu, tu_files, change, names):
    labels = "".join(f"{change.get(line, line)}\n" for line in tu_files["graph_labels"].split())
    datamodule = loaded(write_tu(*PLAIN, graph_labels=labels))
    assert (datamodule.num_classes, datamodule.class_names) == (2, names)
    assert datamodule.store.y.tolist() == [graph % 2 for graph in range(COUNT)]


def test_files_that_are_not_used_are_said_once(write_tu):
    root = write_tu(*PLAIN, "graph_attributes", edge_labels="1\n")
    with pytest.warns(DataWarning, match="TOY: not used: TOY_edge_labels.txt, TOY_graph_attributes.txt") as said:
        loaded(root)
    assert len(said) == 1


def test_self_loops_and_repeated_edges_are_said(write_tu, tu_files):
    edges = tu_files["A"] + "1, 1\n3, 4\n3, 4\n"
    with pytest.warns(DataWarning, match="TOY: 1 self-loops and 2 repeated edges are kept: each counts"):
        loaded(write_tu("graph_indicator", "graph_labels", A=edges))


def test_graphs_without_any_edge_are_read(write_tu):
    with pytest.warns(DataWarning, match="TOY: no graph has an edge"):
        datamodule = loaded(write_tu("graph_indicator", "graph_labels", "node_labels", A=""))
    assert everything(datamodule).edge_index.shape == (2, 0)


@pytest.mark.parametrize("target", [0, 1])
def test_attributes_of_graphs_are_targets_of_a_regression(write_tu, target):
    datamodule = loaded(write_tu("A", "graph_indicator", "graph_attributes"), task="graph_regression", target=target)
    assert datamodule.num_classes == 1
    assert datamodule.store.y.tolist() == [graph * (1 if target else 0.25) for graph in range(COUNT)]
    assert [len(part) for part in vars(datamodule.split).values()] == [24, 3, 3]


@pytest.mark.parametrize(("target", "columns"), [("all", [0.25, 1]), ([1, 0], [1, 0.25]), ([1], [1])])
def test_several_attributes_of_graphs_are_several_targets(write_tu, target, columns):
    root = write_tu("A", "graph_indicator", "graph_attributes")
    names = [f"x{column}" for column in columns]
    datamodule = loaded(root, task="graph_regression", target=target, target_names=names)
    assert (datamodule.num_classes, datamodule.class_names) == (len(columns), tuple(names))
    expected = torch.arange(COUNT)[:, None] * torch.tensor(columns)
    assert torch.equal(datamodule.store.y.view(COUNT, -1), expected)


LABELS = "".join(f"{int(graph % 2 == 0)}, {'nan' if graph % 5 == 3 else int(graph > 9)}\n" for graph in range(30))


def test_columns_of_0_and_1_are_labels_of_which_some_are_not_known(write_tu):
    datamodule = loaded(write_tu("A", "graph_indicator", graph_labels=LABELS), task="graph_multilabel")
    y, graphs = datamodule.store.y, torch.arange(COUNT)
    assert (datamodule.num_classes, datamodule.output_names()) == (2, [0, 1])
    assert torch.equal(y[:, 0], (graphs % 2 == 0).float())
    assert torch.equal(y[:, 1].isnan(), graphs % 5 == 3)
    assert any("without regard to labels" in remark for remark in datamodule.remarks)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (LABELS.replace("1, 0", "1, 2", 1), r"TOY_graph_labels.txt line 1: column 1 of `y` is 2: expected 0 or 1, or"),
        (LABELS.replace("0, nan", "nan, nan", 1), r"TOY_graph_labels.txt line 4: `y` is nan: correct it, or leave the"),
        ("yes\n" * 30, "TOY_graph_labels.txt line 1: expected 1 number, got 'yes'"),
    ],
)
def test_labels_that_are_none_are_named_by_line(write_tu, labels, sentence):
    assert sentence in refusal(write_tu("A", "graph_indicator", graph_labels=labels), task="graph_multilabel")


@pytest.mark.parametrize(
    ("part", "content", "words"),
    [
        ("graph_indicator", lambda text: text + "31\n", "TOY_graph_labels.txt has 30 lines for 31 graphs"),
        ("graph_labels", lambda text: "1\n" * 29, "TOY_graph_labels.txt has 29 lines for 30 graphs"),
        ("graph_labels", lambda text: "1\n" * 29 + "one\n",
         "TOY_graph_labels.txt line 30: expected 1 whole number, got 'one'"),
        ("graph_labels", lambda text: "1, 1\n" * 30, "TOY_graph_labels.txt line 1: expected 1 whole number"),
        ("node_attributes", lambda text: text.replace("1.0,", "nan,", 1), "TOY_node_attributes.txt line 5: expected"),
        ("node_labels", lambda text: "1\n" * 119, "TOY_node_labels.txt has 119 lines for 120 nodes"),
        ("node_attributes", lambda text: "1.5, 2\n" * 119 + "1.5\n", "TOY_node_attributes.txt line 120"),
        ("node_attributes", lambda text: "1.5, 2\n" * 121, "TOY_node_attributes.txt has 121 lines for 120 nodes"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_together_are_named(write_tu, tu_files, part, content, words):
    assert words in refusal(write_tu(*PLAIN, **{part: content(tu_files[part])}))


@pytest.mark.parametrize(
    ("parts", "task", "sentence"),
    [
        (("A", "graph_indicator"), "graph_classification", "no TOY_graph_labels.txt"),
        (("A", "graph_labels"), "graph_classification", "TOY_graph_indicator.txt is missing"),
        (PLAIN, "graph_regression", "TOY_graph_attributes.txt is missing"),
    ],
)
def test_a_missing_file_is_named(write_tu, parts, task, sentence):
    assert sentence in refusal(write_tu(*parts), task=task)


def test_a_target_that_is_not_there_is_named(write_tu):
    root = write_tu(*PLAIN, "graph_attributes")
    assert "target 2, but graphs have 2 attributes" in refusal(root, task="graph_regression", target=2)


NUMBERS = {"task": "graph_regression"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"fold": 10}, "fold: expected 0 to 9"),
        ({"folds": "random"}, "folds: expected one of stratified, given"),
        (
            {"task": "node_classification"},
            "task: expected one of graph_classification, graph_multilabel, graph_regression",
        ),
        ({"target": -1, **NUMBERS}, "target: expected a column from 0 on"),
        ({"target": [], **NUMBERS}, "target: expected a column from 0 on"),
        ({"target": 1}, "target: has no effect on graph_classification"),
        ({"target": "all", "task": "graph_multilabel"}, "target: has no effect on graph_multilabel"),
        ({"target": [1, 1], **NUMBERS}, "target: expected a column from 0 on, different ones in a list"),
        ({"target": True, **NUMBERS}, "target: expected a column from 0 on"),
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

    def test_a_label_it_does_not_have_is_named(self, write_tu, tu_files):
        labels = tu_files["graph_labels"].replace("-1", "2", 1)
        root = write_tu(*PLAIN, name="REDDIT-BINARY", graph_labels=labels)
        with pytest.raises(DataError, match=r"graph_labels\.txt line 1: label 2, expected one of \[-1, 1\]"):
            RedditBinaryDataModule(str(root)).setup()

    def test_other_counts_are_refused(self, write_tu):
        root = write_tu(*PLAIN, name="REDDIT-BINARY")
        with pytest.raises(DataError, match=r"\(30, 120, 150\) graphs, nodes and edges, expected \(2000, 859254"):
            RedditBinaryDataModule(str(root)).setup()

    @pytest.mark.data
    def test_the_real_one(self, tudataset_root):
        datamodule = RedditBinaryDataModule(str(tudataset_root), fold=2)
        datamodule.setup()
        store, split = datamodule.store, datamodule.split
        assert (len(store), len(store.x), store.edge_index.size(1)) == (2000, 859254, 1991016)
        assert [store.y[part].bincount().tolist() for part in vars(split).values()] == [[800] * 2, [100] * 2, [100] * 2]
        pairs = store[torch.arange(200)].edge_index
        assert {tuple(e) for e in pairs.T.tolist()} == {tuple(e) for e in pairs.flip(0).T.tolist()}

    @pytest.mark.data
    def test_the_given_folds(self, tudataset_root):
        datamodule = RedditBinaryDataModule(str(tudataset_root), folds="given", fold=0)
        datamodule.setup()
        numbers = (tudataset_root / "REDDIT-BINARY_10fold_idx" / "test_idx-1.txt").read_text().split()
        assert sorted(map(int, numbers)) == datamodule.split.test.tolist()


def test_few_graphs_can_be_split_by_shares(write_tu, tu_files):
    root = write_tu("A", "graph_indicator", graph_labels="".join(f"{graph // 5}\n" for graph in range(30)))
    with pytest.raises(DataError, match=r"TOY: no class has 10 graphs.*split by shares: data.folds shares"):
        TUDataModule("TOY", str(root)).setup()
    datamodule = TUDataModule("TOY", str(root), folds="shares", val_share=0.2, test_share=0.2)
    datamodule.setup()
    assert [len(part) for part in vars(datamodule.split).values()] == [18, 6, 6]
    classes = [datamodule.store.y[part].bincount().tolist() for part in vars(datamodule.split).values()]
    assert classes == [[3] * 6, [1] * 6, [1] * 6]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.0, 0.1), (3, 0.1)])
def test_shares_that_cannot_be_are_refused_before_anything_is_read(shares):
    with pytest.raises(ValueError, match="val_share, test_share: expected positive shares below 1 in all"):
        TUDataModule("TOY", "nowhere", folds="shares", val_share=shares[0], test_share=shares[1])


def test_files_of_one_s_own_that_are_not_there_are_not_sought_at_an_address_only():
    with pytest.raises(DataError, match=r"MINE: no MINE_A\.txt in .*: put its files there, or a published one"):
        TUDataModule("MINE", "nowhere")


def test_a_file_can_say_the_split_and_folds_can_be_another_number(write_tu, tu_files, tmp_path):
    root = write_tu("A", "graph_indicator", "graph_labels")
    graphs = len(loaded(root, folds="shares", val_share=0.2, test_share=0.2).store)
    file = tmp_path / "split.npz"
    np.savez(file, train=np.arange(2, graphs), val=[1], test=[0])
    datamodule = loaded(root, split_file=str(file))
    assert [part.tolist() for part in vars(datamodule.split).values()] == [list(range(2, graphs)), [1], [0]]
    thirds = [len(part) for part in vars(loaded(root, num_folds=3).split).values()]
    assert sum(thirds) == graphs
    assert max(thirds) <= graphs / 3 + 1
    with pytest.raises(ValueError, match="fold: has no effect beside split_file"):
        loaded(root, split_file=str(file), fold=1)
    with pytest.raises(ValueError, match="num_folds: expected at least 3, got 2"):
        loaded(root, num_folds=2)
