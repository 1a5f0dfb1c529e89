from __future__ import annotations

import pytest
import torch

from app.benchmarks.peers.pyg import PyGNetwork
from models.architectures import GAT, GCN, GIN, Architecture, GraphSAGE
from models.layers import BatchNorm, ReadoutConfig


def symmetric_graph(nodes: int, edges: int) -> torch.Tensor:
    """Edges in both directions, no repeats, no self-loops: what PyG and Kipf's GCN agree on."""
    ends = torch.randint(nodes, (2, edges))
    ends = ends[:, ends[0] != ends[1]]
    return torch.unique(torch.cat([ends, ends.flip(0)], dim=1), dim=1)


NETWORKS = {
    "gcn": lambda: GCN(20, 4, hidden=8, layers=3),
    "gcn factored": lambda: GCN(20, 4, hidden=8, norm="factored"),
    "gat": lambda: GAT(20, 4, hidden=4, heads=3),
    "gin": lambda: GIN(20, 4, hidden=8),
    "sage": lambda: GraphSAGE(20, 4, hidden=8),
    "gin with two layers and eps": lambda: GIN(20, 4, hidden=8, mlp_layers=2, learn_eps=True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_stock_pyg_computes_what_the_fp32_network_computes(name: str) -> None:
    torch.manual_seed(0)
    network: Architecture = NETWORKS[name]().eval()
    with torch.no_grad():
        for parameter in network.parameters():  # biases, eps: nothing at its initial zero
            parameter.add_(0.1 * torch.rand_like(parameter))
    x, edge_index = torch.randn(50, 20), symmetric_graph(50, 120)
    with torch.no_grad():
        expected = network(x, edge_index)
    peer = PyGNetwork(network).eval()
    # Sums of about ten terms of size one in another order: a few units in the last place of float32.
    torch.testing.assert_close(peer(x, edge_index), expected, rtol=1e-5, atol=1e-5)


BLOCKS = {"hidden": 8, "layers": 3, "batch_norm": "before", "residual": True, "activation": "relu"}
ON_GRAPHS = {
    "gcn": lambda **more: GCN(9, 4, **BLOCKS, readout=ReadoutConfig("mean", [5]), **more),
    "gat": lambda **more: GAT(9, 4, heads=2, **BLOCKS, readout=ReadoutConfig("mean", [5]), **more),
    "sage": lambda **more: GraphSAGE(9, 4, **BLOCKS, readout=ReadoutConfig("mean", [5]), **more),
    "gin": lambda **more: GIN(
        9, 4, mlp_layers=2, mlp_batch_norm=True, **BLOCKS, readout=ReadoutConfig("sum", every_layer=True), **more
    ),
    "gin with norms behind": lambda **more: GIN(
        9, 4, hidden=8, mlp_layers=2, batch_norm="after", readout=ReadoutConfig("mean", [8], 0.5), **more
    ),
}


@pytest.mark.parametrize("embedding", [None, "linear", "categorical"])
@pytest.mark.parametrize("name", ON_GRAPHS)
def test_stock_pyg_computes_what_networks_of_graphs_compute(name: str, embedding: str | None) -> None:
    network: Architecture = ON_GRAPHS[name](embedding=embedding).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
    x = torch.randint(9, (50, 1)) if embedding == "categorical" else torch.randn(50, 9)
    edge_index, batch = symmetric_graph(50, 120), torch.arange(50) // 17
    with torch.no_grad():
        expected = network(x, edge_index, batch=batch)
    assert expected.shape == (3, 4)
    torch.testing.assert_close(PyGNetwork(network).eval()(x, edge_index, batch), expected, rtol=1e-4, atol=1e-4)
