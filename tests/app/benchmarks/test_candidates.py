from __future__ import annotations

import numpy as np
import pytest
import torch

from app.benchmarks.candidates import candidates_for
from app.benchmarks.generated_graphs import both_ways, superpixels
from app.benchmarks.peers.registry import BY_NETWORK, NETWORKS
from app.benchmarks.workloads import Inputs


@pytest.mark.parametrize("name", NETWORKS)
def test_peers_compute_the_same_and_the_program_nearly(name):
    nodes, edges = superpixels(graphs=2)
    inputs = Inputs(nodes, np.unique(both_ways(edges), axis=1))
    results = {who: candidate.prepare(inputs, 1).forward() for who, candidate in candidates_for(name).items()}
    expected = torch.as_tensor(results["PyG eager"])
    floats = [result for who, result in results.items() if not who.startswith("INT")]
    for result in floats:
        torch.testing.assert_close(torch.as_tensor(result), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(results["INT8"] - expected.numpy()).mean() < 0.2 * expected.abs().mean()
    peers = BY_NETWORK[name]
    assert len(floats) == 2 + peers.on_csr + (peers.matrix_products is not None)
