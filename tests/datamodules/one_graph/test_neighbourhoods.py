from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch_geometric.typing
from torch_geometric.utils import k_hop_subgraph

from datamodules import DataError, SyntheticDataModule
from datamodules.one_graph import neighbourhoods
from datamodules.one_graph.neighbourhoods import Neighbourhoods

SIZES = {"num_nodes": 400, "num_features": 100, "num_classes": 3, "num_val": 40, "num_test": 60}
HAS_SAMPLER = torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE
REAL = pytest.mark.skipif(not HAS_SAMPLER, reason="needs pyg-lib or torch-sparse, which are not on PyPI as wheels")


class WholeHops:
    """Stands in for PyG's sampler where its packages are not installed: draws all edges, in an order of its own."""

    def __init__(self, data, num_neighbors, is_sorted):
        self.edges, self.hops = data.edge_index, len(num_neighbors)
        assert is_sorted

    def sample_from_nodes(self, asked):
        torch.rand(1)  # as a real one does
        reached, drawn = asked.node, torch.tensor([], dtype=torch.int64)
        for _ in range(self.hops):
            drawn = torch.isin(self.edges[1], reached).nonzero().flatten()
            reached = torch.cat([reached, self.edges[0, drawn]]).unique()
        others = reached[~torch.isin(reached, asked.node)]
        return SimpleNamespace(node=torch.cat([asked.node, others]), edge=drawn.flip(0))


def graph():
    made = SyntheticDataModule(**SIZES)
    made.setup("fit")
    return made.graph_data


def datamodule(*, rank=0, processes=1, **settings):
    made = SyntheticDataModule(**SIZES, **settings)
    made.trainer = SimpleNamespace(world_size=processes, global_rank=rank)
    made.setup("fit")
    return made


@pytest.fixture
def drawn(monkeypatch):
    """Lets data be drawn where PyG's packages are not installed."""
    monkeypatch.setattr(torch_geometric.typing, "WITH_PYG_LIB", True)
    monkeypatch.setattr(neighbourhoods, "NeighborSampler", WholeHops)


def test_a_batch_is_a_part_of_the_graph_with_degrees_of_the_whole(drawn):
    whole = graph()
    targets = whole.train_mask.nonzero().flatten().flip(0)[:5]
    whole.y = torch.arange(len(whole.y))  # names the nodes
    batch = Neighbourhoods(whole, [2, 2], 10)[targets]
    nodes, edges, _, _ = k_hop_subgraph(targets, 2, whole.edge_index, relabel_nodes=True, directed=True)
    assert torch.equal(batch.y, nodes)
    assert torch.equal(batch.degree_cdf, whole.degree_cdf[nodes])
    assert torch.equal(batch.x.to_dense(), whole.x.to_dense()[nodes])
    assert torch.equal(batch.edge_index, edges)
    assert torch.equal(batch.y[batch.train_mask], targets.sort().values)
    assert batch.label_share == batch.node_share == 0.5


def test_drawing_leaves_the_random_numbers_of_training_alone(drawn):
    whole = graph()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Neighbourhoods(whole, [2, 2], 10)[whole.train_mask.nonzero().flatten()[:5]]
    assert torch.equal(torch.rand(2), expected)


def test_processes_train_on_every_training_node_once_an_epoch(drawn):
    settings = {"neighbours": [2, 2], "nodes_per_step": 7}
    loaders = [datamodule(rank=r, processes=2, **settings).train_dataloader() for r in range(2)]
    batches = [list(loader) for loader in loaders]
    assert len(batches[0]) == len(batches[1]) == len(loaders[0]) == 5
    assert sum(int(b.train_mask.sum()) for share in batches for b in share) == int(graph().train_mask.sum())
    alone = list(datamodule(neighbours=[2, 2]).train_dataloader())
    assert len(alone) == 1
    assert alone[0].label_share == 1


@REAL
def test_neighbours_are_drawn_by_the_run_s_seed_and_the_nodes(monkeypatch):
    whole = graph()
    targets = whole.train_mask.nonzero().flatten()
    made = Neighbourhoods(whole, [3, 2], None)
    first, again = made[targets], Neighbourhoods(whole, [3, 2], None)[targets]
    assert torch.equal(first.edge_index, again.edge_index)
    assert torch.equal(first.x.to_dense(), again.x.to_dense())
    other = made[targets.flip(0)]
    assert not torch.equal(first.edge_index, other.edge_index)
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    assert not torch.equal(first.edge_index, made[targets].edge_index)


@REAL
def test_as_many_neighbours_are_drawn_as_asked_for():
    whole = graph()
    whole.y = torch.arange(len(whole.y))
    targets = whole.train_mask.nonzero().flatten()
    degrees = torch.bincount(whole.edge_index[1], minlength=len(whole.y))
    batch = Neighbourhoods(whole, [3], None)[targets]
    drawn = torch.bincount(batch.edge_index[1], minlength=batch.num_nodes)[batch.train_mask]
    assert torch.equal(drawn, degrees[targets].clamp(max=3))
    assert int(drawn.sum()) == batch.edge_index.shape[1]
    source, target = batch.y[batch.edge_index]
    place = target * len(whole.y) + source
    assert torch.equal(place, place.unique())  # sorted by (target, source), each once
    assert torch.isin(place, whole.edge_index[1] * len(whole.y) + whole.edge_index[0]).all()
    full = Neighbourhoods(whole, [-1, -1], None)[targets]
    assert torch.equal(full.y, k_hop_subgraph(targets, 2, whole.edge_index)[0])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"nodes_per_step": 5}, "set neighbours as well"),
        ({"neighbours": [], "nodes_per_step": 5}, r"expected a number for each layer.* got \[\]"),
        ({"neighbours": [10, 0]}, r"at least 1, or -1 for all, got \[10, 0\]"),
        ({"neighbours": [10], "nodes_per_step": 0}, "nodes_per_step: expected at least 1"),
        ({"neighbours": [10], "parts": 3}, "parts is set as well"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        SyntheticDataModule(**SIZES, **settings)


def test_neighbours_need_their_package(monkeypatch):
    for name in ("WITH_PYG_LIB", "WITH_TORCH_SPARSE"):
        monkeypatch.setattr(torch_geometric.typing, name, False)
    with pytest.raises(DataError, match=r"^data.neighbours needs PyG's package pyg-lib"):
        SyntheticDataModule(**SIZES, neighbours=[5])
