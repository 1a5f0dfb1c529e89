from __future__ import annotations

import pickle

import pytest
import torch

from datamodules import DigitsDataModule


@pytest.fixture(scope="module")
def digits() -> DigitsDataModule:
    datamodule = DigitsDataModule()
    datamodule.setup()
    return datamodule


def test_counts(digits):
    store = digits.store
    assert len(store) == 1797
    assert store.num_nodes.unique().tolist() == [64]
    assert store.num_edges.unique().tolist() == [512]
    assert store.x.shape == (1797 * 64, digits.num_features)
    assert store.y.unique().tolist() == list(range(digits.num_classes))


def test_nodes_are_intensity_and_place(digits):
    x = digits.store.x.view(1797, 64, 3)
    assert (x.min(), x.max()) == (0, 1)
    assert torch.equal(x[0, :, 1:], x[99, :, 1:])
    assert len(x[0, :, 1:].unique(dim=0)) == 64
    assert x[:, :, 0].std() > 0.3


def test_the_split_is_stratified_and_disjoint(digits):
    parts = list(vars(digits.split).values())
    assert [len(part) for part in parts] == [1257, 180, 360]
    assert len(torch.cat(parts).unique()) == 1797
    for part in parts:
        shares = digits.store.y[part].bincount() / len(part)
        assert (shares - 0.1).abs().max() < 0.01


def test_in_degrees_differ_so_that_there_is_something_to_protect(digits):
    batch = digits.store[torch.arange(10)]
    assert torch.bincount(batch.edge_index[0]).unique().tolist() == [8]
    assert len(torch.bincount(batch.edge_index[1]).unique()) > 5
    assert len(batch.degree_cdf.unique()) > 5


def test_a_pickled_datamodule_holds_the_same_graphs(digits):
    copy = pickle.loads(pickle.dumps(digits))
    for ours, theirs in zip(digits.train_dataloader(), copy.train_dataloader(), strict=True):
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.edge_index, theirs.edge_index)
