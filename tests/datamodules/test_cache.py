from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from datamodules import DataError
from datamodules.cache import cached, read_store, write_store
from datamodules.storage import GraphStore


@pytest.fixture
def store(random_graphs) -> GraphStore:
    return GraphStore.of("toy", random_graphs(5))


def never() -> GraphStore:
    pytest.fail("built again")


def test_a_store_is_read_as_it_was_written(store, tmp_path):
    path = tmp_path / "new" / "store.safetensors"
    assert write_store(path, store) is store
    found = read_store(path)
    assert found.tensors().keys() == store.tensors().keys()
    for part, tensor in store.tensors().items():
        assert torch.equal(found.tensors()[part], tensor), part


def test_a_store_is_built_once(store, tmp_path):
    path = tmp_path / "store.safetensors"
    assert cached(path, lambda: store) is store
    assert torch.equal(cached(path, never).x, store.x)


@pytest.mark.parametrize("keep", [0, 100, -20])
def test_a_damaged_store_is_built_again(store, tmp_path, keep):
    path = tmp_path / "store.safetensors"
    write_store(path, store)
    path.write_bytes(path.read_bytes()[:keep])
    assert read_store(path) is None
    assert cached(path, lambda: store) is store
    assert torch.equal(cached(path, never).x, store.x)


@pytest.mark.parametrize(
    "change",
    [
        {"x": torch.zeros(3, 3)},
        {"y": torch.zeros(4)},
        {"edge_attr": torch.zeros(1)},
        {"num_nodes": torch.tensor([1 << 40, 1, 1, 1, 1])},
        {"num_edges": torch.zeros(5, dtype=torch.int64)},
        {"degree_cdf": torch.zeros(2)},
    ],
)
def test_a_store_whose_parts_do_not_fit_is_built_again(store, tmp_path, change):
    path = tmp_path / "store.safetensors"
    save_file(store.tensors() | change, path)
    assert read_store(path) is None


def test_edges_to_nodes_that_are_not_there_are_built_again(store, tmp_path):
    edges = store.edge_index.clone()
    edges[0, 3] = 12
    save_file(store.tensors() | {"edge_index": edges}, tmp_path / "store.safetensors")
    assert read_store(tmp_path / "store.safetensors") is None


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "store.safetensors")
    assert read_store(tmp_path / "store.safetensors") is None


def test_a_folder_that_cannot_be_written_is_named(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"file/store\.safetensors cannot be written .*: name a folder by --data\.cache"
    ):
        cached(tmp_path / "file" / "store.safetensors", lambda: store)
