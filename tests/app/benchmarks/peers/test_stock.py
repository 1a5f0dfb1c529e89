from __future__ import annotations

import torch

from app.benchmarks.peers.stock import csr_adjacency


def test_rows_of_the_adjacency_are_targets():
    edge_index = torch.tensor([[0, 2, 2], [1, 1, 0]])
    adjacency = csr_adjacency(edge_index, 3, torch.tensor([5.0, 6.0, 7.0]))
    assert adjacency.layout == torch.sparse_csr
    assert adjacency.to_dense().tolist() == [[0, 0, 7], [5, 0, 6], [0, 0, 0]]
