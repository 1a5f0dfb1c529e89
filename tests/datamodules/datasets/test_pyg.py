from __future__ import annotations

import json
import os
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from jsonargparse import ArgumentParser
from torch_geometric.data import Data, Dataset, InMemoryDataset
from torch_geometric.datasets import Planetoid

from datamodules import DataError, DataWarning, GraphDataModule, PyGDataModule, PyGNodeDataModule
from datamodules.features import Known, Scaling


class Drawn(InMemoryDataset):
    """Graphs of 3 to 6 nodes with an edge, of three classes; `width` 0: types instead of features."""

    def __init__(self, count: int = 40, width: int = 4, *, real: bool = False, transform=None) -> None:
        super().__init__(None, transform)
        self.data, self.slices = self.collate([self._graph(k, width, real=real) for k in range(count)])

    def _graph(self, number: int, width: int, *, real: bool) -> Data:
        nodes = 3 + number % 4
        x = torch.rand(nodes, width) if width else torch.arange(nodes)[:, None]
        y = torch.tensor([number / 8]) if real else torch.tensor([number % 3])
        return Data(x=x, edge_index=torch.tensor([[1], [0]]), y=y)


def unreachable() -> Drawn:
    raise OSError("no route to host")


def test_attributes_and_folds():
    datamodule = PyGDataModule(Drawn, fold=1)
    assert (datamodule.name, datamodule.num_features, datamodule.num_classes) == ("Drawn", 4, 3)
    datamodule.setup()
    assert len(datamodule.store) == 40
    assert sorted(torch.cat(list(vars(datamodule.split).values())).tolist()) == list(range(40))
    assert len(next(iter(datamodule.val_dataloader())).y) == 4


@pytest.mark.parametrize("width", [1, 3])
def test_a_whole_number_is_no_category_for_a_network_of_numbers(tmp_path, width):
    ones = torch.ones(width, dtype=torch.float64)
    scaling = Scaling(ones, 2 * ones)
    kept = Known(width, [0, 1, 2], (), scaling, ("standardize",)).as_json() | {"scaling": scaling.as_numbers()}
    (tmp_path / "data.json").write_text(json.dumps(kept))
    if width == 3:
        with pytest.raises(DataError, match="Drawn: nodes have 1 feature, the network was trained with 3"):
            PyGDataModule(partial(Drawn, width=0), known=str(tmp_path / "data.json"))
        return
    datamodule = PyGDataModule(partial(Drawn, width=0), known=str(tmp_path / "data.json"))
    datamodule.setup("predict")
    assert datamodule.store[torch.arange(1)].x.flatten().tolist() == [-0.5, 0.0, 0.5]


def test_shares():
    datamodule = PyGDataModule(Drawn, split="shares", val_share=0.25, test_share=0.25)
    datamodule.setup()
    assert [len(part) for part in vars(datamodule.split).values()] == [20, 10, 10]


def test_a_file_can_say_the_split(tmp_path):
    np.savez(tmp_path / "split.npz", train=np.arange(30), val=np.arange(30, 35), test=np.arange(39) >= 40)
    with pytest.raises(DataError, match=r"`test`: a mask of shape \[39\], expected \[40\]"):
        PyGDataModule(Drawn, split_file=str(tmp_path / "split.npz")).setup()
    np.savez(tmp_path / "split.npz", train=np.arange(30), val=np.arange(30, 35), test=np.arange(40) >= 38)
    datamodule = PyGDataModule(Drawn, split_file=str(tmp_path / "split.npz"))
    datamodule.setup()
    assert [part.tolist() for part in vars(datamodule.split).values()][1:] == [[30, 31, 32, 33, 34], [38, 39]]
    assert any("3 of 40 graphs are in no part of " in remark for remark in datamodule.remarks)


def test_folds_of_another_number():
    datamodule = PyGDataModule(Drawn, num_folds=4, fold=3)
    datamodule.setup()
    assert [len(part) for part in vars(datamodule.split).values()] == [20, 10, 10]


class Labelled(Drawn):
    """The same with rows of four targets: 0 or 1, or NaN."""

    def __init__(self, change=lambda y: y) -> None:
        self.change = change
        super().__init__()

    def _graph(self, number: int, width: int, *, real: bool) -> Data:
        row = torch.tensor([[number % 2, number % 3 == 0, torch.nan if number % 5 else 1, 0]])
        return super()._graph(number, width, real=real).update({"y": self.change(row)})


@pytest.mark.parametrize("task", ["graph_multilabel", "graph_regression"])
@pytest.mark.parametrize("change", [torch.Tensor.float, torch.Tensor.flatten], ids=["[1, C]", "[C]"])
def test_a_graph_may_have_a_row_of_targets(task, change):
    datamodule = PyGDataModule(partial(Labelled, change), task=task, target_names=["a", "b", "c", "d"])
    datamodule.setup()
    assert (datamodule.num_classes, datamodule.output_names()) == (4, ["a", "b", "c", "d"])
    numbers = torch.arange(40)
    assert datamodule.store.y.shape == (40, 4)
    assert torch.equal(datamodule.store.y[:, 1], (numbers % 3 == 0).float())
    assert torch.equal(datamodule.store.y[:, 2].isnan(), numbers % 5 > 0)
    said = [remark for remark in datamodule.remarks if "the split is drawn without regard to labels" in remark]
    assert len(said) == (task == "graph_multilabel")
    batch = next(iter(datamodule.val_dataloader()))
    assert batch.y.shape == (batch.num_graphs, 4)


@pytest.mark.parametrize(
    ("change", "task", "sentence"),
    [
        (
            lambda y: y,
            "graph_classification",
            "graph 0 has 4 targets: choose one by a transform, or task graph_mult",
        ),
        (lambda y: y * 2, "graph_multilabel", "graph 0: column 1 of `y` is 2: expected 0 or 1, or NaN where a label"),
        (lambda y: y.nan_to_num(-1), "graph_multilabel", "graph 1: column 2 of `y` is -1: expected 0 or 1, or NaN"),
        (lambda y: y * torch.nan, "graph_multilabel", "graph 0: `y` is nan: correct it or leave the graph out"),
        (lambda y: y / 0, "graph_regression", "graph 0: column 1 of `y` is inf: correct it or leave the graph out"),
        (lambda y: y.expand(3, 4), "graph_multilabel", r"graph 0: `y` is float32 of shape \[3, 4\], expected one row"),
        (lambda y: y[0, : 2 + int(y[0, 0])], "graph_multilabel", "graph 1 has 3 targets, graph 0 has 2"),
    ],
)
def test_rows_of_targets_that_cannot_be_used_are_named(change, task, sentence):
    with pytest.raises(DataError, match=f"^Labelled: {sentence}"):
        PyGDataModule(partial(Labelled, change), task=task)


def test_a_regression():
    datamodule = PyGDataModule(partial(Drawn, real=True), task="graph_regression")
    datamodule.setup()
    assert datamodule.num_classes == 1
    assert datamodule.store.y.tolist() == [k / 8 for k in range(40)]


def test_one_whole_number_per_node_is_a_type():
    datamodule = PyGDataModule(partial(Drawn, width=0))
    assert datamodule.num_features == 6
    datamodule.setup()
    assert datamodule.store.x.dtype == torch.int64
    assert datamodule.store.x.shape[1] == 1


def relabelled(*labels: object) -> Drawn:
    return Drawn(transform=lambda graph: graph.update({"y": labels[int(graph.y)]}))


@pytest.mark.parametrize(("labels", "names"), [((-1, 1, 4), (-1, 1, 4)), (("c", "a", "b"), ("a", "b", "c"))])
def test_any_labels_are_classes(labels, names):
    datamodule = PyGDataModule(partial(relabelled, *labels))
    datamodule.setup()
    assert (datamodule.num_classes, datamodule.class_names) == (3, names)
    assert [names[k] for k in datamodule.store.y] == [labels[k % 3] for k in range(40)]


def test_measurements_are_standardised_over_the_training_graphs():
    def shifted(graph: Data) -> Data:
        return Data(x=graph.x * 1000 + 50000, edge_index=graph.edge_index, y=graph.y)

    datamodule = PyGDataModule(partial(Drawn, transform=shifted))
    datamodule.setup()
    trained = datamodule.store[datamodule.split.train].x
    torch.testing.assert_close(trained.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(trained.std(0), torch.ones(4))


def test_measurements_stay_as_they_are_if_asked_to():
    dataset = Drawn()
    datamodule = PyGDataModule(lambda: dataset, standardize=False)
    datamodule.setup()
    assert torch.equal(datamodule.store.x, torch.cat([graph.x for graph in dataset]))


def test_what_is_not_used_is_said_once():
    def extended(graph: Data) -> Data:
        return graph.update({"pos": torch.zeros(len(graph.x), 2), "edge_attr": torch.zeros(1), "name": "n"})

    datamodule = PyGDataModule(partial(Drawn, transform=extended))
    with pytest.warns(DataWarning, match="Drawn: not used: edge_attr, name, pos; only x, edge_index and y are") as said:
        datamodule.setup()
    assert len(said) == 1


def coded(graph: Data) -> Data:
    return graph.update({"x": torch.tensor([[7, 0, 2], [3, 1, 2]])})


def test_whole_number_columns_are_said_to_be_measurements():
    with pytest.warns(DataWarning, match="Drawn: the 3 whole-number columns of `x` are taken for measurements"):
        PyGDataModule(partial(Drawn, transform=coded)).setup()


def test_whole_number_columns_can_be_one_hot():
    datamodule = PyGDataModule(partial(Drawn, transform=coded), features="categories")
    datamodule.setup()
    assert datamodule.num_features == 5
    assert datamodule.store.x[:2].tolist() == [[0, 1, 1, 0, 1], [1, 0, 0, 1, 1]]


def test_self_loops_and_repeats_are_said():
    edges = torch.tensor([[0, 0, 1], [1, 1, 1]])
    datamodule = PyGDataModule(partial(Drawn, transform=lambda graph: graph.update({"edge_index": edges})))
    with pytest.warns(DataWarning, match="Drawn: 40 self-loops and 40 repeated edges are kept"):
        datamodule.setup()


def changed(part: str, value: object) -> partial[Drawn]:
    return partial(Drawn, transform=lambda graph: graph.update({part: value}))


@pytest.mark.parametrize(
    ("dataset", "task", "sentence"),
    [
        (partial(Drawn, real=True), "graph_classification", "graph 1: `y` is 0.125, no class: choose task graph_regr"),
        (changed("y", torch.tensor([torch.nan])), "graph_regression", "graph 0: `y` is nan"),
        (changed("y", torch.tensor([2**24 + 1])), "graph_regression", "graph 0: `y` is 16777217, which"),
        (changed("y", "red"), "graph_regression", "graph 0: `y` is 'red', expected a number"),
        (changed("y", torch.zeros(2)), "graph_classification", "graph 0 has 2 targets"),
        (changed("x", torch.zeros(0, 4)), "graph_classification", "graph 0 has no nodes"),
        (changed("x", torch.zeros(3, 4).to_sparse()), "graph_classification", "graph 0: `x` is sparse float32"),
        (changed("x", torch.full((2, 4), 1e300, dtype=torch.float64)), "graph_classification",
         "graph 0 node 0: `x` is inf in float32"),
        (changed("x", torch.tensor([[-1], [0]])), "graph_classification", "graph 0 node 0: `x` is the category -1"),
    ],
)  # fmt: skip
def test_graphs_that_cannot_be_used_are_named(dataset, task, sentence):
    with pytest.raises(DataError, match=f"^Drawn: {sentence}"):
        PyGDataModule(dataset, task=task)


class Kept(Drawn):
    """Reads its graphs from `processed/data.pt`, as PyG's data sets do."""

    def __init__(self, root: Path) -> None:
        InMemoryDataset.__init__(self, str(root))
        self.load(self.processed_paths[0])

    processed_file_names = "data.pt"

    def process(self) -> None:
        self.save([self._graph(k, 4, real=False) for k in range(40)], self.processed_paths[0])


class Dangerous:
    """Its pickle makes a folder when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_what_pyg_kept_is_read(tmp_path):
    for _ in range(2):
        datamodule = PyGDataModule(partial(Kept, tmp_path))
        datamodule.setup()
        assert len(datamodule.store) == 40


def test_what_somebody_else_put_there_runs_nothing(tmp_path):
    Kept(tmp_path)
    torch.save(Dangerous(tmp_path / "executed"), tmp_path / "processed" / "data.pt")
    with pytest.raises(DataError, match=r"dataset: a file of it cannot be read \(it names .*mkdir, which no tensor"):
        PyGDataModule(partial(Kept, tmp_path))
    assert not (tmp_path / "executed").exists()


def test_a_pipe_in_the_place_of_what_pyg_kept_is_not_waited_for(tmp_path):
    Kept(tmp_path)
    (tmp_path / "processed/data.pt").unlink()
    os.mkfifo(tmp_path / "processed/data.pt")
    with pytest.raises(DataError, match=r"dataset: cannot be loaded \(.*data\.pt is a pipe or a device"):
        PyGDataModule(partial(Kept, tmp_path))


PLANETOID = ("x", "tx", "allx", "y", "ty", "ally", "graph")


@pytest.mark.parametrize("part", PLANETOID)
def test_planetoid_files_that_pyg_unpickles_run_nothing(tmp_path, part):
    raw = tmp_path / "Cora/raw"
    raw.mkdir(parents=True)
    x, y = sp.csr_matrix(np.eye(2, dtype=np.float32)), np.eye(2)
    content = {name: x if name.endswith("x") else y for name in PLANETOID} | {"graph": {k: [0] for k in range(4)}}
    for name, value in {**content, part: Dangerous(tmp_path / "executed")}.items():
        (raw / f"ind.cora.{name}").write_bytes(pickle.dumps(value))
    (raw / "ind.cora.test.index").write_text("2\n3\n")
    with pytest.raises(DataError, match=r"dataset: a file of it cannot be read .*mkdir"):
        PyGNodeDataModule(partial(Planetoid, str(tmp_path), "Cora"))
    assert not (tmp_path / "executed").exists()


class OneByOne(Dataset):
    """Reads each graph from a file of its own, without care."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.folder = root

    def len(self) -> int:
        return 40

    def get(self, number: int) -> Data:
        return torch.load(self.folder / f"{number}.pt", weights_only=False)


@pytest.mark.parametrize("hostile", [False, True])
def test_graphs_in_files_of_their_own_run_nothing(tmp_path, hostile):
    for number, graph in enumerate(Drawn()):
        torch.save(Data(x=graph.x, edge_index=graph.edge_index, y=graph.y), tmp_path / f"{number}.pt")
    if not hostile:
        assert PyGDataModule(partial(OneByOne, tmp_path)).num_classes == 3
        return
    torch.save(Dangerous(tmp_path / "executed"), tmp_path / "7.pt")
    with pytest.raises(DataError, match=r"dataset: a file of it cannot be read"):
        PyGDataModule(partial(OneByOne, tmp_path))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (unreachable, r"dataset: cannot be loaded \(no route to host\)"),
        (partial(Drawn, transform=lambda graph: Data(edge_index=graph.edge_index, y=graph.y)), "graph 0 has no `x`"),
        (partial(Drawn, transform=lambda graph: Data(edge_index=graph.edge_index, x=graph.x)), "graph 0 has no `y`"),
    ],
)
def test_data_that_cannot_be_used_is_named(dataset, sentence):
    with pytest.raises(DataError, match=sentence):
        PyGDataModule(dataset)


def test_a_config_names_the_data_set(tmp_path):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(GraphDataModule, "data")
    words = [
        "--data=PyGDataModule",
        "--data.dataset=torch_geometric.datasets.FakeDataset",
        "--data.dataset.num_graphs=30",
        "--data.dataset.num_classes=2",
        "--data.fold=3",
    ]
    made = parser.instantiate_classes(parser.parse_args(words)).data
    assert (type(made), made.name, made.num_classes, made.fold) == (PyGDataModule, "FakeDataset", 2, 3)


def test_one_graph_is_for_another_datamodule():
    with pytest.raises(DataError, match=r"^Drawn: has one graph: datamodules.PyGNodeDataModule learns its nodes$"):
        PyGDataModule(partial(Drawn, 1))
