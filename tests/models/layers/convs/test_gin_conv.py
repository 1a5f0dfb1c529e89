"""GINConv against PyG's, dense against sparse, and the mask at every site."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import GINConv as StockGINConv

from models.layers import MLP, GINConv
from models.layers.graph import Graph

WIDTHS = [[7], [9, 7], [9, 8, 7]]


def gin(in_features, widths, sites, **settings):
    """A layer whose MLP has these widths."""
    return GINConv(MLP(in_features, widths, sites.child("mlp")), sites, **settings)


def peer(layer):
    """PyG's layer with the same parameters."""
    linears = [nn.Linear(*linear.weight.shape) for linear in layer.mlp.linears]
    modules = [module for linear in linears for module in (linear, nn.ReLU())][:-1]
    learned = isinstance(layer.eps, nn.Parameter)
    stock = StockGINConv(nn.Sequential(*modules), eps=layer.eps.item(), train_eps=learned)
    for linear, same in zip(layer.mlp.linears, linears, strict=True):  # afterwards: PyG's constructor draws them anew
        same.load_state_dict({"weight": linear.weight.detach().T, "bias": linear.bias.detach()})
    return stock


@pytest.mark.parametrize("learn_eps", [True, False])
@pytest.mark.parametrize("widths", WIDTHS)
def test_fp32_equals_pyg(widths, learn_eps, edges, sites, same_as):
    ours = gin(12, widths, sites("fp32"), learn_eps=learn_eps)
    ours.eps.data.fill_(0.3)
    theirs = peer(ours)
    pairs = []
    for linear, same in zip(ours.mlp.linears, theirs.nn[::2], strict=True):
        pairs += [(linear.weight, same.weight, torch.t), (linear.bias, same.bias, torch.clone)]
    if learn_eps:
        pairs.append((ours.eps, theirs.eps, torch.squeeze))
    same_as(ours, theirs, edges, pairs)


@pytest.mark.parametrize("learn_eps", [True, False])
@pytest.mark.parametrize(("scheme", "share"), [("fp32", 0.0), ("qat", 0.02)])
def test_sparse_features_equal_dense_ones(scheme, share, learn_eps, edges, sites, sparse_as_dense):
    layer = gin(12, [9, 7], sites(scheme), learn_eps=learn_eps)
    layer.eps.data.fill_(0.3)
    sparse_as_dense(layer, edges, share)


def test_every_site_follows_its_mask_and_the_mlp_has_none(graph, protect, sites, check_masks):
    masks = dict.fromkeys(["inputs", "message", "aggregate", "update"], protect)
    masks |= {f"mlp.{i}.{site}": None for i in range(2) for site in ("inputs", "weights", "features")}
    check_masks(gin(12, [9, 7], sites("qat", 4)), graph, protect, masks)


def test_messages_are_quantized_once_per_node_with_the_values_they_would_have_per_edge(graph, sites, spy, on_grid):
    layer, x = gin(12, [7], sites("qat", 4)), torch.randn(40, 12)
    seen = spy(layer, x, graph)
    per_edge = on_grid(layer.message, on_grid(layer.inputs, x)[graph.source])
    expected = torch.zeros(40, 12).index_add(0, graph.target, per_edge)
    torch.testing.assert_close(seen["aggregate"][0], expected, rtol=1e-5, atol=1e-6)


def test_all_nodes_protected_leaves_only_the_mlp_quantized(edges, sites):
    layer, x = gin(12, [9, 7], sites("qat", 4)), torch.randn(40, 12)
    layer.eps.fill_(0.3)
    for site in (layer.inputs, layer.message, layer.aggregate, layer.update):
        site.observer.range.copy_(torch.tensor([-1.0, 1.0]))
    got = layer(x, Graph.of(edges, 40), torch.ones(40, dtype=torch.bool))
    h = 1.3 * x + torch.zeros(40, 12).index_add(0, edges[1], x[edges[0]])
    first, second = layer.mlp.eval().linears
    torch.testing.assert_close(got, second(first(h).relu()), rtol=1e-4, atol=1e-5)
    plain = peer(layer)(x, edges)
    assert (plain - got).abs().max() > 0.1


def test_dropout_hits_a_row_and_its_messages_alike_behind_the_sites(sites, spy):
    """On a ring of two, one node's aggregate is the other's dropped row."""
    edges = torch.tensor([[0, 1], [1, 0]])
    layer, x = gin(50, [7], sites("qat", 8), dropout=0.5), torch.randn(2, 50)
    seen = spy(layer, x, Graph.of(edges, 2))
    own_and_other = seen["mlp.0.inputs"][0]
    factor = seen["aggregate"][0].flip(0) / seen["message"][1]
    assert set(factor[seen["message"][1] != 0].tolist()) == {0.0, 2.0}
    expected = seen["inputs"][1] * factor.nan_to_num() + seen["aggregate"][1]
    torch.testing.assert_close(own_and_other, expected)
    assert layer.message.observer.bounds == tuple(end.item() for end in seen["inputs"][1].aminmax())
