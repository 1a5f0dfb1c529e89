from __future__ import annotations

from functools import partial

import pytest
import torch
from jsonargparse import ArgumentParser
from torch_geometric.data import Data, InMemoryDataset

from datamodules import DataError, GraphDataModule, PyGDataModule


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
    datamodule = PyGDataModule(Drawn, fold=2)
    assert (datamodule.name, datamodule.num_features, datamodule.num_classes) == ("Drawn", 4, 3)
    datamodule.setup()
    assert len(datamodule.store) == 40
    assert sorted(torch.cat(list(vars(datamodule.split).values())).tolist()) == list(range(40))
    assert len(next(iter(datamodule.val_dataloader())).y) == 4


def test_shares():
    datamodule = PyGDataModule(Drawn, split="shares", val_share=0.25, test_share=0.25)
    datamodule.setup()
    assert [len(part) for part in vars(datamodule.split).values()] == [20, 10, 10]


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
