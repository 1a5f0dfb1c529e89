"""A network evaluated in blocks of rows computes, bit for bit, what it computes in one piece."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATv2Conv, GINConv, GraphConv, LayerNorm

from models import prepare
from models.architectures import GAT, GCN, GIN, GraphSAGE
from models.layers import QuantLinear
from models.layers.convs.base import Conv
from models.layers.evaluation import row_blocks
from models.layers.evaluation.graph_block import GraphBlock
from models.quantization.control import calibrate, quantizers, takes_blocks
from models.quantization.sites import Sites

NODES, FEATURES, CLASSES, BLOCK = 2_500, 100, 5, 1_024
NETWORKS = {
    "gcn": (GCN, {"residual": True, "batch_norm": "before"}),
    "gcn factored": (GCN, {"norm": "factored", "embedding": "linear"}),
    "gat": (GAT, {}),
    "gat averaged": (GAT, {"concat": False, "activation": "relu", "roundings": "needed"}),
    "gin": (GIN, {"mlp_layers": 2, "mlp_batch_norm": True, "learn_eps": True}),
    "gin needed": (GIN, {"roundings": "needed"}),
    "sage": (GraphSAGE, {}),
    "sage max": (GraphSAGE, {"aggregation": "max"}),
}

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_blocks, "ROWS", BLOCK)


@pytest.fixture
def blocks_seen(monkeypatch):
    """The nodes of every block of a graph that was formed."""
    seen = []
    form = GraphBlock.__init__

    def noted(self, whole, nodes):
        seen.append(nodes)
        form(self, whole, nodes)

    monkeypatch.setattr(GraphBlock, "__init__", noted)
    return seen


def in_one_piece(network, *inputs, **named):
    """What the network computes when it is watched, which is never in blocks."""
    hooks = [part.register_forward_hook(lambda *_: None) for part in network.modules()]
    with torch.inference_mode():
        y = network(*inputs, **named)
    for hook in hooks:
        hook.remove()
    return y


def in_blocks(network, *inputs, **named):
    with torch.inference_mode():
        return network(*inputs, **named)


@pytest.mark.parametrize(
    ("scheme", "bits", "sparse"), [("fp32", 32, False), ("fp32", 32, True), ("dq", 8, True), ("dq", 4, False)]
)
@pytest.mark.parametrize("kind", NETWORKS)
def test_blocks_give_the_bits_of_one_piece(
    kind, scheme, bits, sparse, make_scheme, random_edges, bag_of_words, small_blocks, blocks_seen, threads
):
    make, settings = NETWORKS[kind]
    network = make(FEATURES, CLASSES, make_scheme(scheme, bits), **settings)
    dense, edges = bag_of_words(NODES, FEATURES), random_edges(NODES, 5 * NODES)
    x = dense.to_sparse_csr() if sparse else dense
    calibrate(network, lambda: network(x, edges))
    assert bits == 32 or not blocks_seen, "calibration sees whole tensors"
    blocks_seen.clear()
    expected = in_one_piece(network, x, edges)
    assert not blocks_seen, "what is watched goes in one piece"
    got = in_blocks(network, x, edges.clone())  # a graph of which nothing is known yet
    assert blocks_seen
    assert torch.equal(got, expected)


@pytest.mark.parametrize("make", [GIN, GraphSAGE])
def test_sparse_features_whose_neighbourhood_is_known_go_in_one_piece(
    make, make_scheme, random_edges, bag_of_words, small_blocks, blocks_seen
):
    network = make(FEATURES, CLASSES, make_scheme("dq", 8), layers=1)
    x, edges = bag_of_words(NODES, FEATURES).to_sparse_csr(), random_edges(NODES, 5 * NODES)
    calibrate(network, lambda: network(x, edges))  # sees whole tensors, as training does
    in_blocks(network, x, edges)
    assert not blocks_seen
    in_blocks(network, x, edges.clone())
    assert blocks_seen


@pytest.mark.parametrize("make", [GCN, GraphSAGE])
def test_wide_features_in_blocks_of_the_usual_size(make, make_scheme, random_edges, blocks_seen, threads):
    """On one thread oneDNN multiplies whole blocks, MKL the last one; their bits differ at this width."""
    nodes = 2 * row_blocks.ROWS + 77
    network = make(500, 16, make_scheme("fp32")).eval()
    x, edges = torch.randn(nodes, 500), random_edges(nodes, 3 * nodes)
    expected = in_one_piece(network, x, edges)
    assert torch.equal(in_blocks(network, x, edges), expected)
    assert blocks_seen


class Converted(nn.Module):
    """Layers that our own networks do not have: edge weights, GATv2, a network within GIN that compares rows."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.weighted, self.attention = GraphConv(FEATURES, 16), GATv2Conv(16, 4, heads=2, residual=True)
        self.summed = GINConv(nn.Sequential(nn.Linear(8, CLASSES), *inner))

    def forward(self, x, edge_index, edge_weight):
        x = self.weighted(x, edge_index, edge_weight).relu()
        return self.summed(self.attention(x, edge_index).relu(), edge_index)


@pytest.mark.parametrize("compares_rows", [False, True])
def test_converted_networks(compares_rows, make_scheme, random_edges, small_blocks, blocks_seen, threads):
    inner = [LayerNorm(CLASSES, mode="graph" if compares_rows else "node")]
    network = prepare(Converted(inner), make_scheme("dq", 8))
    x, edges = torch.randn(NODES, FEATURES), random_edges(NODES, 5 * NODES)
    weights = {"edge_weight": torch.rand(edges.shape[1])}
    calibrate(network, lambda: network(x, edges, **weights))
    assert not blocks_seen
    expected = in_one_piece(network, x, edges, **weights)
    assert torch.equal(in_blocks(network, x, edges, **weights), expected)
    passes = 4 if compares_rows else 5  # two where all nodes send before any receives
    assert len(blocks_seen) == passes * len(list(row_blocks.blocks_of(NODES)))


def test_gradients_and_training_take_one_piece(make_scheme, random_edges, small_blocks, blocks_seen):
    network = GCN(FEATURES, CLASSES, make_scheme("fp32"))
    x, edges = torch.randn(NODES, FEATURES), random_edges(NODES, 5 * NODES)
    network.eval()(x, edges).sum().backward()
    assert network.convs[0].weight.grad.any()
    with torch.no_grad():
        network.train()(x, edges)
    assert not blocks_seen


@pytest.mark.parametrize("make", [GCN, GIN, GraphSAGE])
def test_what_is_between_layers_exists_for_one_block(make, make_scheme, small_blocks):
    """No site sees more rows than a block has, but those of parameters."""
    network = make(FEATURES, CLASSES, make_scheme("dq", 8))
    x, path = torch.randn(NODES, FEATURES), torch.arange(NODES - 1)
    edges = torch.cat([torch.stack([path, path + 1]), torch.stack([path + 1, path])], 1)
    calibrate(network, lambda: network(x, edges))
    seen = []
    for site in quantizers(network):
        if site.domain == "node":
            site.quantized = lambda x, protect, quantized=site.quantized: seen.append(len(x)) or quantized(x, protect)
    in_blocks(network, x, edges)
    assert max(seen) == BLOCK
    assert all(isinstance(conv, Conv) for conv in network.convs)


@pytest.mark.parametrize(("make", "settings"), [(GCN, {}), (GAT, {"residual": True}), (GIN, {}), (GraphSAGE, {})])
def test_a_hook_that_takes_blocks_sees_all_rows_in_blocks_once(make, settings, make_scheme, random_edges, small_blocks):
    network = make(FEATURES, CLASSES, make_scheme("dq", 8), **settings)
    x, edges = torch.randn(NODES, FEATURES), random_edges(NODES, 5 * NODES)
    calibrate(network, lambda: network(x, edges))
    sites = [site for site in quantizers(network) if site.domain != "parameter"]
    expected, seen = {}, {site.name: [] for site in sites}
    hooks = [site.register_forward_hook(lambda s, given, y: expected.update({s.name: given[0]})) for site in sites]
    in_blocks(network, x, edges)
    for hook, site in zip(hooks, sites, strict=True):
        hook.remove()
        site.register_forward_hook(takes_blocks(lambda s, given, y: seen[s.name].append(given[0])))
    in_blocks(network, x, edges)
    for name, blocks in seen.items():
        assert len(blocks) > 1
        assert torch.equal(torch.cat(blocks), expected[name]), name


def test_a_linear_layer_goes_in_blocks_too(make_scheme, small_blocks):
    layer = QuantLinear(FEATURES, 7, Sites(make_scheme("dq", 8))).eval()
    x = torch.randn(NODES, FEATURES)
    calibrate(layer, lambda: layer(x))
    seen = []
    layer._rows = lambda x, protect, rows=layer._rows: seen.append(len(x)) or rows(x, protect)
    got = in_blocks(layer, x)
    assert seen == [BLOCK, BLOCK, NODES - 2 * BLOCK]
    assert torch.equal(got, in_one_piece(layer, x))
