from __future__ import annotations

import numpy as np
import pytest
import torch

from app.benchmarks.peers.convolution import WIDTH
from app.benchmarks.peers.float_ops import FloatOps
from app.benchmarks.peers.fused import FusedNetwork
from app.benchmarks.peers.pyg import PyGNetwork
from app.benchmarks.peers.registry import NETWORKS
from app.engine import Graph, workers
from app.engine.kernels import floats as float_kernels
from app.engine.simd import target
from app.engine.workers import Workers
from models.architectures import GAT, GCN, GIN, GraphSAGE
from models.quantization.qconfig import QuantScheme

NODES = 300


@pytest.fixture(scope="module")
def edges() -> np.ndarray:
    """Edges of which half lead to one hub, self-loops, nodes without any; none twice."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, NODES - 20, (2, 2500))
    pairs[1, ::2] = 7
    return np.unique(pairs, axis=1)


def spread(network):
    """Every parameter random: biases start as zeros, which would hide that they are left out."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def assert_same(network, edges, threads=1):
    x = torch.randn(NODES, network.in_features, generator=torch.Generator().manual_seed(2))
    expected = PyGNetwork(network).eval()(x, torch.from_numpy(edges))
    got = FusedNetwork(network, FloatOps(threads))(x, Graph(edges, NODES))
    scale = float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_pyg(monkeypatch, edges, name, threads):
    monkeypatch.setattr(workers, "LEAST_WORK", 100)
    assert_same(spread(NETWORKS[name](QuantScheme("fp32", 8))), edges, threads)


@pytest.mark.parametrize("width", [8, 15, 16, 70, 129, 145])
def test_equals_pyg_at_every_width(edges, width):
    for make in (GCN, GIN, GraphSAGE):
        assert_same(spread(make(20, width, hidden=width)), edges)
    assert_same(spread(GCN(20, width, hidden=width, norm="factored")), edges)
    assert_same(spread(GAT(20, width, hidden=width, heads=3, activation="relu")), edges)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_rows_are_multiplied_in_blocks(monkeypatch, edges, threads):
    monkeypatch.setattr("app.benchmarks.peers.float_ops.ROWS", 64)
    assert_same(spread(GIN(20, 9, hidden=9, mlp_layers=2, learn_eps=True)), edges, threads)
    assert_same(spread(GCN(20, 9, hidden=9)), edges, threads)


@pytest.mark.parametrize("rows", [10, 1000])
def test_products_run_on_threads_of_the_engine_and_never_on_those_of_torch(monkeypatch, rows):
    """Threads of torch meet after every block, and wait for the one that has no core."""
    monkeypatch.setattr("app.benchmarks.peers.float_ops.ROWS", 64)
    addmm, mm, seen = torch.addmm, torch.mm, []

    def noting(multiply):
        def noted(*arguments, out):
            seen.append((torch.get_num_threads(), len(out)))
            return multiply(*arguments, out=out)

        return noted

    monkeypatch.setattr(torch, "addmm", noting(addmm))
    monkeypatch.setattr(torch, "mm", noting(mm))
    x, weight, bias = torch.randn(rows, 20), torch.randn(20, 9), torch.randn(9)
    before = torch.get_num_threads()
    try:
        for multiply in (FloatOps(2).multiply, lambda x, w: FloatOps(2).linear(x, w, bias, relu=True)):
            torch.set_num_threads(2)
            seen.clear()
            with torch.inference_mode():
                multiply(x, weight)
            assert {threads for threads, _ in seen} == {1}
            assert sum(length for _, length in seen) == rows
            assert (len(seen) > 1) == (rows > 64)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "network",
    [
        lambda: GCN(20, 9, activation="elu"),
        lambda: GCN(20, 9, batch_norm="before"),
        lambda: GIN(20, 9, mlp_layers=2, mlp_batch_norm=True),
        lambda: GCN(20, 9, embedding="linear"),
        lambda: GCN(20, 5),
    ],
)
def test_what_it_cannot_compute_is_refused(network):
    with pytest.raises(ValueError, match="FusedNetwork: expected"):
        FusedNetwork(network())


def test_results_do_not_overwrite_each_other(edges):
    network, graph = FusedNetwork(spread(NETWORKS["gin"](QuantScheme("fp32", 8)))), Graph(edges, 5000)
    first_x, second_x = torch.randn(2, 5000, WIDTH)
    first = network(first_x, graph)
    kept = first.clone()
    network(second_x, graph)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("width", [8, 16, 31, 128, 146])
def test_multiply_add_rounds_once(width):
    """(1 + 2^-12)^2 - (1 + 2^-11) is 2^-24: a product rounded on its own would leave 0."""
    if not target.FMA:
        pytest.skip("this CPU has no fused multiplication and addition")
    x = np.full((1, width), 1 + 2.0**-12, np.float32)
    bias, out = np.full(width, -(1 + 2.0**-11), np.float32), np.empty_like(x)
    edges = Graph([[0], [0]], 1).adjacency(self_loops=False)
    arguments = x, x[:, :1].copy(), edges.indptr, edges.sources, bias, np.float32(-np.inf), out
    Workers().run(lambda *rows: float_kernels.edge_sum(*arguments, *rows), 1)
    np.testing.assert_array_equal(out, 2.0**-24)
