from __future__ import annotations

import hashlib

import pytest
import torch
from torch_geometric.data import Data

from datamodules import SyntheticDataModule

MASKS = ("train_mask", "val_mask", "test_mask")


def draw(**arguments) -> Data:
    datamodule = SyntheticDataModule(**arguments)
    datamodule.setup()
    return datamodule.graph_data


def fingerprint(data: Data) -> str:
    parts = (data.edge_index, data.y, data.x.crow_indices(), data.x.col_indices(), *(data[m] for m in MASKS))
    return hashlib.sha256(b"".join(part.long().numpy().tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def graph() -> Data:
    return draw()


def in_degree(data: Data) -> torch.Tensor:
    return torch.bincount(data.edge_index[1], minlength=data.num_nodes)


def test_types_and_shapes(graph):
    assert graph.x.layout == torch.sparse_csr
    assert graph.x.dtype == torch.float32
    assert graph.x.shape == (2700, 1433)
    assert graph.edge_index.dtype == graph.y.dtype == torch.int64
    assert all(graph[mask].dtype == torch.bool and graph[mask].shape == (2700,) for mask in MASKS)


def test_edges_are_symmetric_sorted_by_target_without_loops_and_repeats(graph):
    pairs = [(int(t), int(s)) for s, t in graph.edge_index.T]
    assert pairs == sorted(set(pairs))
    assert {(s, t) for t, s in pairs} == set(pairs)
    assert all(s != t for s, t in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_in_degrees_are_heavy_tailed_like_cora(seed):
    degree = in_degree(draw(seed=seed)).float()
    assert 3.7 < degree.mean() < 4.0
    assert 35 < degree.max() / degree.mean() < 70
    assert 2 <= degree.median() <= 4
    assert (degree == 0).sum() < 10


def test_degree_cdf_is_its_definition(graph):
    degree = in_degree(graph)
    shares = (degree[None, :] <= degree[:, None]).sum(1) / graph.num_nodes
    assert torch.equal(graph.degree_cdf, shares)
    assert graph.degree_cdf[degree.argmax()] == 1


def test_bags_of_words_are_about_one_percent_dense(graph):
    assert 0.01 < graph.x.values().numel() / graph.x.numel() < 0.015
    torch.testing.assert_close(graph.x.to_dense().sum(1), torch.ones(graph.num_nodes))


def test_raw_features_are_presence_of_words(graph):
    raw = draw(features="raw").x
    assert torch.equal(raw.values(), torch.ones_like(raw.values()))
    assert torch.equal(raw.to_dense() != 0, graph.x.to_dense() != 0)


def test_the_split_is_disjoint_with_twenty_training_nodes_per_class(graph):
    masks = torch.stack([graph[mask] for mask in MASKS])
    assert masks.sum(1).tolist() == [140, 500, 1000]
    assert masks.sum(0).max() == 1
    assert torch.bincount(graph.y[graph.train_mask]).tolist() == [20] * 7


def test_as_many_training_nodes_per_class_as_wanted(graph):
    more = draw(train_per_class=30)
    assert torch.bincount(more.y[more.train_mask]).tolist() == [30] * 7
    assert torch.equal(more.edge_index, graph.edge_index)


def test_homophily_and_topicality_do_what_they_say():
    def same_class(data: Data) -> float:
        return (data.y[data.edge_index[0]] == data.y[data.edge_index[1]]).float().mean().item()

    assert same_class(draw(homophily=1.0)) == 1
    assert same_class(draw(homophily=0.0)) < 0.2
    # With topics alone, a class uses the words of its topic only: a tenth of the vocabulary.
    only_topics = draw(topicality=1.0, features="raw")
    used = [(only_topics.x.to_dense()[only_topics.y == c].sum(0) > 0).sum() for c in range(7)]
    assert max(used) <= 143


def test_words_and_edges_are_drawn_independently(graph):
    other = draw(topicality=0.9)
    assert torch.equal(other.edge_index, graph.edge_index)
    assert not torch.equal(other.x.col_indices(), graph.x.col_indices())


def test_a_seed_is_a_graph(graph):
    assert fingerprint(draw(seed=0)) == fingerprint(graph)
    assert len({fingerprint(draw(seed=seed)) for seed in range(4)}) == 4


def test_the_default_graph_is_the_one_results_were_reported_on(graph):
    # Fails on any change of the generator, or on a machine that draws another graph: both must be noticed.
    assert fingerprint(graph)[:12] == "09b104ab8b5b"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"num_classes": 1}, "num_classes: expected at least 2, got 1"),
        ({"num_features": 10}, "num_features: expected at least 100, got 10"),
        ({"num_nodes": 1639}, "num_nodes: the split needs at least 1640, got 1639"),
        ({"num_val": 0}, "num_val"),
        ({"train_per_class": 0}, "train_per_class"),
        ({"train_per_class": 200}, "num_nodes: the split needs at least 2900, got 2700"),
        ({"mean_degree": 1.5}, "mean_degree: expected at least 2, got 1.5"),
        ({"homophily": 1.5}, "homophily: expected 0 to 1, got 1.5"),
        ({"topicality": -0.5}, "topicality: expected 0 to 1, got -0.5"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SyntheticDataModule(**arguments)


def test_the_smallest_allowed_graph_can_be_drawn():
    assert draw(num_nodes=1640).test_mask.sum() == 1000
