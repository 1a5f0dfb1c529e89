from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch_geometric.utils import subgraph

from datamodules import DataError, SyntheticDataModule
from datamodules.graph_checks import MASKS
from datamodules.one_graph import partition
from datamodules.one_graph.clusters import Clusters

SIZES = {"num_nodes": 200, "num_features": 100, "num_classes": 3, "num_val": 40, "num_test": 60}
PARTS = 7


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The folder of the cache, empty at first."""
    monkeypatch.setenv("DEGREE_QUANT_CACHE", str(tmp_path))
    return tmp_path / "partitions"


@pytest.fixture
def datamodule() -> SyntheticDataModule:
    """In parts, set up."""
    made = SyntheticDataModule(**SIZES, parts=PARTS, parts_per_step=2)
    made.setup("fit")
    return made


@pytest.fixture
def clusters(datamodule) -> Clusters:
    return datamodule.batches


def in_process(rank: int) -> SyntheticDataModule:
    """What one of two processes has."""
    made = SyntheticDataModule(**SIZES, parts=PARTS + 1, parts_per_step=3)
    made.trainer = SimpleNamespace(world_size=2, global_rank=rank)
    made.setup("fit")
    return made


def test_all_parts_together_are_the_graph_itself(clusters):
    whole, graph = clusters[torch.arange(PARTS)], clusters.graph
    for part in ("edge_index", "y", "degree_cdf", *MASKS):
        assert torch.equal(whole[part], graph[part]), part
    assert torch.equal(whole.x.to_dense(), graph.x.to_dense())


def test_parts_have_all_edges_among_their_nodes_and_degrees_of_the_whole_graph(clusters):
    named = clusters.graph.clone()
    named.y = torch.arange(len(named.y))
    batch = Clusters(named, torch.arange(len(named.y)) % PARTS, 2)[torch.tensor([4, 1])]
    nodes = batch.y
    assert torch.equal(
        nodes, (torch.isin(torch.arange(len(named.y)) % PARTS, torch.tensor([1, 4]))).nonzero().flatten()
    )
    edges, _ = subgraph(nodes, named.edge_index, relabel_nodes=True, num_nodes=len(named.y))
    assert torch.equal(batch.edge_index, edges)
    assert torch.equal(batch.degree_cdf, named.degree_cdf[nodes])
    assert torch.equal(batch.x.to_dense(), named.x.to_dense()[nodes])


def test_every_node_counts_alike_in_an_epoch(datamodule, clusters):
    batches = list(datamodule.train_dataloader())
    labels = torch.stack([batch.label_share / max(int(batch.train_mask.sum()), 1) for batch in batches])
    counted = torch.tensor([bool(batch.train_mask.any()) for batch in batches])
    assert torch.equal(counted, labels > 0)
    assert torch.allclose(labels[counted], labels[counted][0])
    assert float(sum(batch.label_share for batch in batches)) == pytest.approx(PARTS / 2)
    assert float(sum(batch.node_share for batch in batches)) == pytest.approx(PARTS / 2)


def test_processes_train_on_every_training_node_once_an_epoch_and_in_as_many_steps():
    loaders = [in_process(rank).train_dataloader() for rank in range(2)]
    for epoch in range(2):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        epochs = [list(loader) for loader in loaders]
        assert len(epochs[0]) == len(epochs[1]) == len(loaders[0])
        whole = in_process(0).graph_data
        assert sum(int(b.train_mask.sum()) for batches in epochs for b in batches) == int(whole.train_mask.sum())
        assert sum(b.num_nodes for batches in epochs for b in batches) == whole.num_nodes


def test_processes_count_every_node_once_on_the_whole_graph():
    graphs = [next(iter(in_process(rank).test_dataloader())) for rank in range(2)]
    whole = in_process(0).graph_data
    for mask in MASKS:
        assert torch.equal(graphs[0][mask] ^ graphs[1][mask], whole[mask])
        assert not (graphs[0][mask] & graphs[1][mask]).any()
    assert all(graph.edge_index.shape == whole.edge_index.shape for graph in graphs)


def test_a_partition_is_kept_by_the_graph_and_the_number_of_parts(datamodule, cache, monkeypatch):
    edges, nodes = datamodule.graph_data.edge_index, datamodule.graph_data.num_nodes
    (kept,) = cache.iterdir()
    first = partition.partition("toy", edges, nodes, PARTS)
    partition.partition("toy", edges, nodes, PARTS + 1)
    partition.partition("toy", edges[:, 2:], nodes, PARTS)
    assert len(list(cache.iterdir())) == 3
    kept.write_bytes(kept.read_bytes()[:-20])
    assert torch.equal(partition.partition("toy", edges, nodes, PARTS), first)  # cut again
    monkeypatch.setattr(partition, "cut", lambda *of: pytest.fail("cut again"))
    assert torch.equal(partition.partition("toy", edges, nodes, PARTS), first)


def test_no_part_is_empty_however_many_there_are(datamodule):
    graph = datamodule.graph_data
    part = partition.cut(graph.edge_index, graph.num_nodes, 150)
    assert part.bincount().min() > 0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"parts": 0}, "parts: expected at least 1"),
        ({"parts_per_step": 2}, "set parts as well"),
        ({"parts": 3, "parts_per_step": 4}, r"at most parts \(3\)"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        SyntheticDataModule(**SIZES, **settings)


def test_more_parts_than_nodes_are_refused():
    with pytest.raises(DataError, match="201, but the graph that is trained on has 200 nodes"):
        SyntheticDataModule(**SIZES, parts=201).setup("fit")


def test_parts_need_their_package(monkeypatch):
    monkeypatch.setattr(partition, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install pymetis"):
        SyntheticDataModule(**SIZES, parts=2)
