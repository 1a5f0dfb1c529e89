from __future__ import annotations

import numpy as np
import torch

from app.benchmarks.peers.float_ops import FloatOps
from app.benchmarks.peers.gat import score_matrix
from app.engine import Graph


def test_scores_of_source_and_target_are_sums_over_the_channels_of_a_head():
    vectors, x = torch.randn(2, 3, 5), torch.randn(7, 15)
    expected = torch.einsum("nhc,shc->nsh", x.view(7, 3, 5), vectors).reshape(7, 6)
    torch.testing.assert_close(x @ score_matrix(vectors), expected)


def test_coefficients_sum_to_one_over_the_edges_into_a_node():
    edges = Graph([[0, 1, 2, 2], [1, 2, 1, 0]], 4).adjacency(self_loops=True)
    scores = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    coefficients = FloatOps().attention(torch.from_numpy(scores), 0.2, edges)
    assert coefficients.shape == (edges.num_edges, 2)
    assert (coefficients > 0).all()
    np.testing.assert_allclose(np.add.reduceat(coefficients, edges.indptr[:-1]), 1.0, rtol=1e-5)
