"""GATConv against PyG's, dense against sparse, and the mask at every site."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GATConv as StockGATConv
from torch_geometric.nn.inits import glorot

from models.layers import GATConv
from models.layers.graph import Graph


def stock(layer, heads, weight=None, attention=None):
    """PyG's layer with the same parameters, or with the given weight [F, H*C] and attention [2, H, C]."""
    weight = layer.weight if weight is None else weight
    of_source, of_target = layer.attention if attention is None else attention
    theirs = StockGATConv(weight.shape[0], weight.shape[1] // heads, heads)
    theirs.load_state_dict({
        "lin.weight": weight.detach().T, "bias": layer.bias.detach(),
        "att_src": of_source.detach()[None], "att_dst": of_target.detach()[None],
    })  # fmt: skip
    return theirs


@pytest.mark.parametrize("heads", [1, 8])
def test_fp32_equals_pyg(heads, edges, sites, same_as):
    ours = GATConv(12, 16, sites("fp32"), heads=heads)
    torch.nn.init.normal_(ours.bias)
    theirs = stock(ours, heads)
    pairs = [
        (ours.weight, theirs.lin.weight, torch.t),
        (ours.bias, theirs.bias, torch.clone),
        (ours.attention, theirs.att_src, lambda gradient: torch.cat([gradient, theirs.att_dst.grad])),
    ]
    same_as(ours, theirs, edges, pairs)


@pytest.mark.parametrize("heads", [1, 8])
@pytest.mark.parametrize(("scheme", "share"), [("fp32", 0.0), ("qat", 0.02)])
def test_sparse_features_equal_dense_ones(heads, scheme, share, edges, sites, sparse_as_dense):
    sparse_as_dense(GATConv(12, 16, sites(scheme), heads=heads), edges, share)


@pytest.mark.parametrize("heads", [1, 8])
def test_every_site_follows_its_mask(heads, graph, protect, sites, check_masks):
    of_source = protect[graph.with_self_loops.source]
    masks = {
        "inputs": protect, "weights": None, "features": protect, "attention": None, "alpha": of_source,
        "message": of_source, "aggregate": protect, "update": protect,
    }  # fmt: skip
    check_masks(GATConv(12, 16, sites("qat", 4), heads=heads), graph, protect, masks)


@pytest.mark.parametrize("heads", [1, 8])
def test_all_nodes_protected_is_the_fp32_layer_with_quantized_parameters(heads, edges, sites, on_grid):
    layer, x = GATConv(12, 16, sites("qat", 4), heads=heads), torch.randn(40, 12)
    for site in (layer.inputs, layer.features, layer.alpha, layer.message, layer.aggregate, layer.update):
        site.observer.range.copy_(torch.tensor([-1.0, 1.0]))
    got = layer(x, Graph.of(edges, 40), torch.ones(40, dtype=torch.bool))
    weight = on_grid(layer.weights, layer.weight)
    attention = on_grid(layer.attention_vectors, layer.attention)
    assert not torch.equal(weight, layer.weight)
    assert not torch.equal(attention, layer.attention)
    torch.testing.assert_close(got, stock(layer, heads, weight, attention)(x, edges), rtol=1e-4, atol=1e-5)


def test_dropout_acts_behind_the_sites(graph, sites):
    layer = GATConv(12, 16, sites("qat", 8), heads=8, dropout=0.5)
    x = torch.randn(40, 12)
    layer(x, graph)
    assert layer.inputs.observer.bounds == tuple(end.item() for end in x.aminmax())
    assert not torch.equal(layer(x, graph), layer(x, graph))
    layer.eval()
    assert torch.equal(layer(x, graph), layer(x, graph))


def test_attention_dropout_takes_whole_messages_of_an_edge_and_head_and_keeps_their_range(sites, spy):
    """Without edges each node hears itself alone: 16 features per head are kept and doubled, or dropped."""
    graph = Graph.of(torch.empty(2, 0, dtype=torch.int64), 40)
    plain = GATConv(12, 64, sites("qat", 8), heads=4)
    noisy = GATConv(12, 64, sites("qat", 8), heads=4, attention_dropout=0.5)
    noisy.load_state_dict(plain.state_dict())
    x = torch.randn(40, 12)
    kept, dropped = spy(plain, x, graph), spy(noisy, x, graph)
    assert noisy.message.observer.bounds == plain.message.observer.bounds
    before, after = (seen["aggregate"][0].view(40, 4, 16) for seen in (kept, dropped))
    gone = (after == 0).all(-1)
    assert 0.3 < gone.float().mean() < 0.7
    assert torch.equal(after, torch.where(gone[..., None], torch.zeros(()), 2 * before))


def test_attention_vectors_that_start_apart_start_as_those_of_pyg(sites):
    torch.manual_seed(3)
    layer = GATConv(12, 64, sites("fp32"), heads=8, attention_start="separate")
    torch.manual_seed(3)
    torch.nn.init.xavier_uniform_(torch.empty(12, 64))
    for vector in layer.attention:
        expected = torch.empty(1, 8, 8)
        glorot(expected)
        torch.testing.assert_close(vector, expected[0])


def test_heads_must_divide_the_width(sites):
    with pytest.raises(ValueError, match="16 output features do not divide into 3 heads"):
        GATConv(12, 16, sites("fp32"), heads=3)
