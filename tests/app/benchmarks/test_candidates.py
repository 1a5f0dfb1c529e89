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
    assert len(floats) == 2 + peers.on_csr + (peers.matrix_products is not None) + ("SciPy + BLAS" in results)
    assert ("SciPy + BLAS" in results) == (name != "gat")


@pytest.mark.parametrize("name", NETWORKS)
def test_libraries_compute_the_same_where_they_are_installed(name):
    """And the program on edges what it computes on a graph."""
    inputs, others = Inputs(*superpixels(graphs=1)), Inputs(*superpixels(graphs=2))
    every = candidates_for(name, more=True)
    for who in ("ONNX Runtime", "torch.compile"):
        if every[who].missing:
            assert every[who].why_not(inputs, 1e12) == every[who].missing
    if every["ONNX Runtime"].missing is None:
        for given in (inputs, others):
            expected = every["PyG eager"].prepare(given, 1).forward()
            got = torch.as_tensor(every["ONNX Runtime"].prepare(given, 1).forward())
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    new, kept = (every[who].prepare(inputs, 1).forward() for who in ("INT8, new graph", "INT8"))
    np.testing.assert_array_equal(new, kept)


def test_what_is_missing_is_told(monkeypatch):
    from app.benchmarks.libraries import onnx_runtime, torch_compiled

    monkeypatch.setattr(onnx_runtime, "find_spec", lambda name: None if name != "onnx" else name)
    monkeypatch.setattr(torch_compiled.shutil, "which", lambda name: None)
    every, inputs = candidates_for("gin", more=True), Inputs(*superpixels(graphs=1))
    assert every["ONNX Runtime"].why_not(inputs, 1e12) == "not installed: onnxruntime, onnxscript"
    assert every["torch.compile"].why_not(inputs, 1e12) == "there is no C++ compiler"
    assert every["PyG eager"].why_not(inputs, 1.0) == "would take too much memory"
    assert every["PyG eager"].why_not(inputs, 1e12) is None
