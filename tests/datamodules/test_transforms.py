from __future__ import annotations

import pytest
import torch

from datamodules.transforms import attach_degree_cdf, binary_features, normalize_rows, sort_edges


def test_sort_edges_orders_by_target_then_source_and_keeps_attributes_with_their_edges(small_graph):
    pairs = [(int(t), int(s)) for s, t in small_graph.edge_index.T]
    result = sort_edges(small_graph)
    assert [(int(t), int(s)) for s, t in result.edge_index.T] == sorted(pairs)
    assert [pairs[i] for i in result.edge_attr] == sorted(pairs)


def test_sort_edges_without_attributes(small_graph):
    small_graph.edge_attr = None
    assert torch.equal(sort_edges(small_graph).edge_index[1], small_graph.edge_index[1].sort()[0])


def test_rows_sum_to_one_in_their_old_proportions_and_empty_rows_stay(small_graph):
    before, after = small_graph.x.to_dense(), normalize_rows(small_graph).x.to_dense()
    empty = before.sum(1) == 0
    assert empty.any()
    assert torch.equal(after[empty], before[empty])
    torch.testing.assert_close(after.sum(1)[~empty], torch.ones(int((~empty).sum())))
    torch.testing.assert_close(after * before.sum(1, keepdim=True), before)


def test_dense_rows_are_divided_alike(small_graph):
    sparse = normalize_rows(small_graph).x.to_dense()
    small_graph.x = small_graph.x.to_dense()
    assert torch.equal(normalize_rows(small_graph).x, sparse)


def test_a_stored_row_of_zeros_stays_finite(small_graph):
    small_graph.x = torch.sparse_csr_tensor([0, 1, 2], [0, 1], [0.0, 2.0], (2, 2), check_invariants=True)
    assert normalize_rows(small_graph).x.to_dense().tolist() == [[0, 0], [0, 1]]


def test_binary_features_keep_the_pattern(small_graph):
    result = binary_features(small_graph).x.to_dense()
    assert torch.equal(result, (small_graph.x.to_dense() != 0).float())


def test_degree_cdf_shares_ties_and_ends_at_one(small_graph):
    # In-degrees without self-loops: 3, 2, 1, 1, 0, 0.
    expected = torch.tensor([6, 5, 4, 4, 2, 2]) / 6
    assert torch.equal(attach_degree_cdf(small_graph).degree_cdf, expected)


@pytest.mark.parametrize("transform", [sort_edges, attach_degree_cdf, normalize_rows, binary_features])
def test_the_graph_passed_in_stays_as_it_is(small_graph, transform):
    before = small_graph.clone()
    transform(small_graph)
    assert small_graph.keys() == before.keys()
    assert torch.equal(small_graph.edge_index, before.edge_index)
    assert torch.equal(small_graph.x.to_dense(), before.x.to_dense())
