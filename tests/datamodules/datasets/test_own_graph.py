from __future__ import annotations

from functools import partial
from itertools import chain

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch_geometric.data import Data, InMemoryDataset

from datamodules import DataError, DataWarning, GraphDataModule, GraphFileDataModule, PyGNodeDataModule
from datamodules.datasets.own_graph import OwnGraphDataModule

NODES = torch.arange(40)


def graph(**changes: object) -> Data:
    """A ring of 40 nodes of two classes, changed by `changes`."""
    ring = torch.stack([NODES, (NODES + 1) % 40])
    features = torch.stack([NODES * 100.0, NODES % 2], dim=1)
    return Data(x=features, edge_index=torch.cat([ring, ring.flip(0)], dim=1), y=NODES % 2).update(changes)


def masks(**parts: list[int]) -> dict[str, torch.Tensor]:
    return {f"{part}_mask": torch.isin(NODES, torch.tensor(nodes)) for part, nodes in parts.items()}


GIVEN = masks(train=[0, 1, 2, 3], val=[4, 5], test=[6, 7, 9])


def parts_of(datamodule: OwnGraphDataModule) -> list[list[int]]:
    datamodule.setup()
    return [datamodule.graph_data[f"{part}_mask"].nonzero().flatten().tolist() for part in ("train", "val", "test")]


def test_the_split_of_the_graph_is_taken():
    assert parts_of(OwnGraphDataModule("own", graph(**GIVEN))) == [[0, 1, 2, 3], [4, 5], [6, 7, 9]]


def test_a_file_goes_before_the_masks_of_the_graph(tmp_path):
    file = tmp_path / "split.npz"
    np.savez(file, train=["n7", "n8"], val=["n1"], test=["n0"])
    own = OwnGraphDataModule("own", graph(**GIVEN, id=[f"n{node}" for node in range(40)]), split_file=str(file))
    assert parts_of(own) == [[7, 8], [1], [0]]
    assert f"36 of 40 nodes are in no part of {file}" in own.remarks
    with pytest.raises(ValueError, match="split: has no effect beside split_file"):
        OwnGraphDataModule("own", graph(), split=1, split_file=str(file))


def test_a_class_of_one_node_is_called_as_in_the_data():
    labelled = graph(y=torch.where(NODES == 5, 77, 10 * (NODES % 2)))
    with pytest.raises(DataError, match=r"^own: class 77 has too few nodes to be divided by val_size, test_size"):
        OwnGraphDataModule("own", labelled).setup()


@pytest.mark.parametrize(
    ("sizes", "expected"), [((0.1, 0.2), [28, 4, 8]), ((6, 10), [24, 6, 10]), ((0.1, 20), [16, 4, 20])]
)
def test_without_one_the_nodes_are_split_by_size_and_classes(sizes, expected):
    val, test = sizes
    parts = parts_of(OwnGraphDataModule("own", graph(), val_size=val, test_size=test))
    assert [len(part) for part in parts] == expected
    assert sorted(chain(*parts)) == NODES.tolist()
    assert all(2 * sum(node % 2 for node in part) == len(part) for part in parts)
    assert parts == parts_of(OwnGraphDataModule("own", graph(), val_size=val, test_size=test))


@pytest.mark.parametrize("sizes", [(0, 0.2), (20, 20), (0.5, 20), (1.5, 3)])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(ValueError, match="val_size, test_size: expected positive shares below 1 or whole numbers"):
        OwnGraphDataModule("own", graph(), val_size=sizes[0], test_size=sizes[1])


@pytest.mark.parametrize(("split", "seed", "column"), [(1, "0", 1), (None, "0", 0), (None, "4", 1)])
def test_of_several_splits_one_is_taken(monkeypatch, split, seed, column):
    monkeypatch.setenv("PL_GLOBAL_SEED", seed)
    columns = [masks(train=[k], val=[k + 1], test=[k + 2]) for k in range(3)]
    several = {mask: torch.stack([split[mask] for split in columns], dim=1) for mask in columns[0]}
    assert parts_of(OwnGraphDataModule("own", graph(**several), split=split)) == [[column], [column + 1], [column + 2]]
    with pytest.raises(ValueError, match="split: expected 0 to 2, the columns of the masks, got 3"):
        OwnGraphDataModule("own", graph(**several), split=3)


def test_a_seed_that_repeats_a_split_says_so(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "4")
    several = {mask: torch.stack([value, value], dim=1) for mask, value in GIVEN.items()}
    assert (
        "there are 2 splits: seed 4 takes split 0, as seed 0 does" in OwnGraphDataModule("o", graph(**several)).remarks
    )
    assert OwnGraphDataModule("o", graph(**several), split=0).remarks == ()


def test_masks_of_one_column_are_of_every_split_and_others_have_equally_many():
    three = torch.stack([torch.isin(NODES, torch.tensor([k])) for k in range(3)], dim=1)
    given = GIVEN | {"train_mask": three, "val_mask": GIVEN["val_mask"][:, None]}
    assert parts_of(OwnGraphDataModule("own", graph(**given), split=2)) == [[2], [4, 5], [6, 7, 9]]
    with pytest.raises(DataError, match="own: `val_mask` has 2 columns where another mask has 3"):
        OwnGraphDataModule("own", graph(**(given | {"val_mask": three[:, :2]})))


@pytest.mark.parametrize(
    ("given", "settings", "sentence"),
    [
        (GIVEN, {"val_size": 0.3}, "val_size: has no effect beside the masks of the graph; leave it out"),
        (GIVEN, {"split": 0}, "split: has no effect as the masks have one column; leave it out"),
        ({}, {"split": 0}, "split: has no effect as the graph has no masks; leave it out"),
    ],
)
def test_settings_of_another_way_to_split_are_refused(given, settings, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        OwnGraphDataModule("own", graph(**given), **settings)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (torch.tensor([-1, 1])[NODES % 2], (-1, 1)),
        (np.array(["red", "blue"])[NODES % 2], ("blue", "red")),
        ([["no", "yes"][node % 2] for node in range(40)], ("no", "yes")),
        ((NODES % 2).double(), ()),
    ],
)
def test_any_labels_are_classes(labels, names):
    datamodule = OwnGraphDataModule("own", graph(y=labels))
    datamodule.setup()
    assert (datamodule.num_classes, datamodule.class_names) == (2, names)
    found = datamodule.graph_data.y.tolist()
    assert [names[k] if names else k for k in found] == [
        label.item() if hasattr(label, "item") else label for label in labels
    ]


def test_nodes_in_no_mask_may_have_any_label_and_count_for_no_class():
    datamodule = OwnGraphDataModule("own", graph(y=torch.where(NODES < 10, 3 * (NODES % 2), -7), **GIVEN))
    datamodule.setup()
    assert (datamodule.num_classes, datamodule.class_names) == (2, (0, 3))
    assert datamodule.graph_data.y[:3].tolist() == [0, 1, 0]


def test_nodes_with_an_empty_word_are_left_out():
    labels = ["cat", "dog", "cat", "dog", ""] * 8
    own = OwnGraphDataModule("own", graph(y=labels))
    assert own.class_names == ("cat", "dog")
    assert not any(node % 5 == 4 for part in parts_of(own) for node in part)
    assert sum(map(len, parts_of(own))) == 32
    with pytest.raises(DataError, match="own: node 4 is in a mask, and its label is an empty word"):
        OwnGraphDataModule("own", graph(y=labels, **GIVEN))


def test_nodes_without_a_target_are_counted():
    y = (NODES % 2).float()
    y[:3] = torch.nan
    assert "3 of 40 nodes have no target and are in no part" in OwnGraphDataModule("own", graph(y=y)).remarks


def test_nodes_without_a_number_are_left_out_of_a_regression():
    y = torch.where(NODES % 4 == 3, torch.nan, NODES / 8)
    datamodule = OwnGraphDataModule("own", graph(y=y), task="node_regression", val_size=5, test_size=5)
    parts = parts_of(datamodule)
    assert sorted(chain(*parts)) == [node for node in range(40) if node % 4 != 3]
    assert datamodule.num_classes == 1
    assert datamodule.graph_data.y.dtype == torch.float32
    assert datamodule.graph_data.y[:4].tolist() == [0, 0.125, 0.25, 0]


SEVERAL = torch.stack([(NODES % 2).float(), (NODES > 9).float(), torch.where(NODES % 4 == 3, torch.nan, 1.0)], 1)


@pytest.mark.parametrize("task", ["node_multilabel", "node_regression"])
def test_a_node_may_have_several_targets_of_which_some_are_not_known(task):
    y = SEVERAL.clone()
    y[5] = torch.nan  # a node of which nothing is known is in no part
    datamodule = OwnGraphDataModule("own", graph(y=y), task=task, target_names=["a", "b", "c"])
    parts = parts_of(datamodule)
    assert sorted(chain(*parts)) == [node for node in range(40) if node != 5]
    assert (datamodule.num_classes, datamodule.output_names()) == (3, ["a", "b", "c"])
    y[5] = 0.0
    torch.testing.assert_close(datamodule.graph_data.y, y, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(datamodule.labelled(), NODES != 5)
    assert ("the split is drawn without" in " ".join(datamodule.remarks)) == (task == "node_multilabel")


@pytest.mark.parametrize("task", ["node_multilabel", "node_regression"])
def test_one_column_is_what_none_is(task):
    narrow, wide = ((NODES % 2).float(), (NODES % 2).float()[:, None])
    one, other = (OwnGraphDataModule("own", graph(y=y), task=task) for y in (narrow, wide))
    assert parts_of(one) == parts_of(other)
    assert torch.equal(one.graph_data.y, other.graph_data.y)
    assert one.num_classes == other.num_classes == 1
    assert one.output_names() == other.output_names() == ([0] if task == "node_multilabel" else [])


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "a"], ["a", "b", ""]])
def test_names_of_targets_are_as_many_as_these_and_different(names):
    with pytest.raises(ValueError, match="target_names: expected 3 different names, one a column of `y`"):
        OwnGraphDataModule("own", graph(y=SEVERAL), task="node_multilabel", target_names=names)
    with pytest.raises(ValueError, match="target_names: names labels or numbers; classes are called as in the data"):
        OwnGraphDataModule("own", graph(), target_names=["a", "b"])


def test_features_are_standardised_over_the_training_nodes():
    datamodule = OwnGraphDataModule("own", graph(**GIVEN))
    datamodule.setup()
    assert datamodule.scaling.as_numbers()["mean"] == [150.0, 0.0]
    assert torch.equal(datamodule.graph_data.x[:, 1], (NODES % 2).float())


def test_a_class_that_no_node_is_trained_on_is_told():
    datamodule = OwnGraphDataModule("rare", graph(**GIVEN, y=torch.where(NODES == 7, 7, NODES % 2)))
    with pytest.warns(DataWarning, match="rare: class 7: there is none of them to train on"):
        datamodule.setup()


def test_one_whole_number_of_a_node_is_a_category():
    datamodule = OwnGraphDataModule("own", graph(x=(NODES % 5)[:, None]))
    with pytest.warns(DataWarning, match="own: the whole-number column of `x` is taken for one of 5 categories"):
        datamodule.setup()
    assert (datamodule.num_features, datamodule.graph_data.x.dtype) == (5, torch.int64)


@pytest.mark.parametrize(
    ("changes", "task", "sentence"),
    [
        ({"x": None}, "node_classification", "the graph has no `x`"),
        ({"y": torch.zeros(40, 3)}, "node_classification", r"`y` is float32 of shape \[40, 3\], expected one target"),
        ({"y": torch.zeros(40, 3)}, "node_classification", r"`y` is .* nodes; node_multilabel learns several labels"),
        ({"y": torch.zeros(39, 3)}, "node_multilabel", r"`y` is .* expected one target, or a row of them, for each"),
        ({"y": SEVERAL - 1}, "node_multilabel", "node 0: column 0 of `y` is -1: expected 0 or 1, or NaN where a label"),
        ({"y": SEVERAL / 0, **GIVEN}, "node_regression", "node 0: column 2 of `y` is inf: correct it or leave it out"),
        ({"y": SEVERAL * torch.nan, **GIVEN}, "node_multilabel", "node 0: `y` is nan: correct it or leave it out of"),
        ({"y": NODES / 4}, "node_classification", "node 1: `y` is 0.25, no class: choose node_regression"),
        ({"y": np.array(["a", "b"])}, "node_classification", r"`y` is int64 of shape \[2\], expected one target"),
        ({"y": torch.arange(40) + 2**24, **GIVEN}, "node_regression", "node 1: `y` is 16777217, which float32"),
        ({"y": torch.full((40,), torch.nan), **GIVEN}, "node_regression", "node 0: `y` is nan"),
        ({"train_mask": NODES > 3}, "node_classification", "the graph has no `val_mask`"),
        ({**GIVEN, "val_mask": NODES[:2]}, "node_classification", r"`val_mask` is int64 of shape \[2\], expected bool"),
        (
            {"x": NODES[:, None] - 2},
            "node_classification",
            "node 0: `x` is the category -2: number categories from 0 on",
        ),
        (
            {"x": NODES[:, None] * 10**7},
            "node_classification",
            "node 2: `x` is the category 20000000: number categories",
        ),
        ({"edge_index": torch.tensor([[0], [99]])}, "node_classification", "edge 0 leads from node 0 to 99"),
    ],
)
def test_graphs_that_cannot_be_used_are_named(changes, task, sentence):
    with pytest.raises(DataError, match=f"^own: {sentence}") as caught:
        OwnGraphDataModule("own", graph(**changes), task=task).setup()
    assert "\n" not in str(caught.value)


def test_a_config_names_the_file(tmp_path):
    np.savez(tmp_path / "mine.npz", **{part: value.numpy() for part, value in graph(**GIVEN)})
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(GraphDataModule, "data")
    words = ["--data=GraphFileDataModule", "--data.name=mine", f"--data.root={tmp_path}", "--data.inductive=true"]
    made = parser.instantiate_classes(parser.parse_args(words)).data
    assert (type(made), made.name, made.num_features, made.num_classes) == (GraphFileDataModule, "mine", 2, 2)
    made.setup()
    assert len(made.training_data.x) == 4


def save_in_two_files(folder, rows=None):
    parts = {part: value.numpy() for part, value in graph(**GIVEN)}
    np.savez(folder / "mine.npz", **{part: value for part, value in parts.items() if part != "x"})
    np.save(folder / "mine.x.npy", parts["x"] if rows is None else rows)
    return partial(GraphFileDataModule, "mine", root=str(folder))


@pytest.mark.parametrize("batches", [{}, {"parts": 4}])
def test_features_in_a_file_of_their_own_are_read_where_they_lie(tmp_path, batches):
    if batches:
        pytest.importorskip("pymetis")
    mapped = save_in_two_files(tmp_path)(features="raw", **batches)
    whole = OwnGraphDataModule("mine", graph(**GIVEN), features="raw", **batches)
    where = mapped.graph.x.data_ptr()
    for one in (mapped, whole):
        one.setup()
    assert mapped.graph_data.x.data_ptr() == where, "a copy was made of all rows"
    for one, other in zip(mapped.predict_dataloader(), whole.predict_dataloader(), strict=True):
        assert torch.equal(one.x, other.x)
    for part in range(4) if batches else ():
        assert torch.equal(mapped.batches[torch.tensor([part])].x, whole.batches[torch.tensor([part])].x)
    mapped.graph_data.x[0] = -1.0
    assert np.array_equal(np.load(tmp_path / "mine.x.npy"), graph().x.numpy()), "the file was written to"


@pytest.mark.parametrize(
    ("rows", "settings", "sentence"),
    [
        (np.zeros((40, 2)), {}, r"mine.x.npy cannot be read \(it holds float64 of shape \[40, 2\], expected rows"),
        (np.zeros((2, 40), np.float32).T, {}, r"float32 of shape \[40, 2\], column after column, expected rows"),
        (np.zeros(40, np.float32), {}, r"float32 of shape \[40\], expected rows"),
        (np.zeros((30, 2), np.float32), {}, "expected one target for each of the 30 nodes"),
        (np.full((40, 2), np.nan, np.float32), {}, "node 0: `x` is nan: correct it"),
        (None, {"features": "standardized"}, "is read as it is, without a copy: data.features: raw, and scale them"),
        (None, {"inductive": True}, "is read as it is, without a copy: data.inductive: false"),
    ],
)
def test_features_in_a_file_that_cannot_be_used_are_one_sentence(tmp_path, rows, settings, sentence):
    make = save_in_two_files(tmp_path, rows)
    with pytest.raises(DataError, match=sentence) as caught:
        make(**{"features": "raw", **settings}).setup()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_of_features_is_one_sentence(tmp_path, content):
    make = save_in_two_files(tmp_path)
    whole = (tmp_path / "mine.x.npy").read_bytes()
    for damaged in (content, whole[:-8]):
        (tmp_path / "mine.x.npy").write_bytes(damaged)
        with pytest.raises(DataError, match=r"^mine: .*mine.x.npy cannot be read \(.*\): save it again"):
            make(features="raw")


def test_features_are_in_one_file_only(tmp_path):
    make = save_in_two_files(tmp_path)
    np.savez(tmp_path / "mine.npz", **{part: value.numpy() for part, value in graph(**GIVEN)})
    with pytest.raises(DataError, match=r"^mine: `x` is in the graph's file and in .*mine\.x\.npy: keep one"):
        make(features="raw")


class Stored(InMemoryDataset):
    """A PyG data set of `count` equal graphs."""

    def __init__(self, count: int = 1) -> None:
        super().__init__(None)
        self.data, self.slices = self.collate([graph(**GIVEN) for _ in range(count)])


def test_a_pyg_data_set_of_one_graph_is_taken():
    datamodule = PyGNodeDataModule(Stored, features="raw")
    assert parts_of(datamodule) == [[0, 1, 2, 3], [4, 5], [6, 7, 9]]
    assert datamodule.name == "Stored"
    assert torch.equal(datamodule.graph_data.x, graph().x)


def test_a_pyg_data_set_of_several_is_not():
    with pytest.raises(DataError, match="Stored: has 2 graphs, expected one: PyGDataModule takes many"):
        PyGNodeDataModule(partial(Stored, 2))
