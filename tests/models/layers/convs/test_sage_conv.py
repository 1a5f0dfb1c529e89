"""SAGEConv against PyG's, dense against sparse, and the mask at every site."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import SAGEConv as StockSAGEConv

from models.layers import SAGEConv
from models.layers.graph import Graph
from models.quantization.control import quantizers


def peer(layer):
    """PyG's layer with the same parameters."""
    stock = StockSAGEConv(*layer.root.weight.shape)
    of_neighbours = {"lin_l.weight": layer.neighbours.weight.T, "lin_l.bias": layer.neighbours.bias}
    stock.load_state_dict({**of_neighbours, "lin_r.weight": layer.root.weight.T})
    return stock


def test_fp32_equals_pyg(edges, sites, same_as):
    ours = SAGEConv(12, 7, sites("fp32"))
    theirs = peer(ours)
    pairs = [
        (ours.neighbours.weight, theirs.lin_l.weight, torch.t),
        (ours.neighbours.bias, theirs.lin_l.bias, torch.clone),
        (ours.root.weight, theirs.lin_r.weight, torch.t),
    ]
    same_as(ours, theirs, edges, pairs)


@pytest.mark.parametrize(("scheme", "share"), [("fp32", 0.0), ("qat", 0.02)])
def test_sparse_features_equal_dense_ones(scheme, share, edges, sites, sparse_as_dense):
    sparse_as_dense(SAGEConv(12, 7, sites(scheme)), edges, share)


def test_every_site_follows_its_mask(graph, protect, sites, check_masks):
    masks = dict.fromkeys(["inputs", "message", "aggregate", "update", "root.features", "neighbours.features"], protect)
    masks |= {"root.weights": None, "neighbours.weights": None}
    check_masks(SAGEConv(12, 7, sites("qat", 4)), graph, protect, masks)


def test_a_protected_node_is_computed_in_floats_but_for_its_weights(edges, sites):
    layer, x = SAGEConv(12, 7, sites("qat", 4)), torch.randn(40, 12)
    for site in quantizers(layer):
        if site.parameter is None:
            site.observer.range.copy_(torch.tensor([-1.0, 1.0]))
    got = layer(x, Graph.of(edges, 40), torch.ones(40, dtype=torch.bool))
    plain = peer(layer)
    plain.lin_l.weight.data = layer.neighbours.weights(layer.neighbours.weight).detach().T
    plain.lin_r.weight.data = layer.root.weights(layer.root.weight).detach().T
    torch.testing.assert_close(got, plain(x, edges), rtol=1e-4, atol=1e-5)


def test_dropout_hits_a_row_and_its_messages_alike_behind_the_sites(sites, spy):
    """On a ring of two, one node's aggregate is the other's dropped row."""
    layer, x = SAGEConv(50, 7, sites("qat", 8), dropout=0.5), torch.randn(2, 50)
    own = []
    layer.root.register_forward_pre_hook(lambda _, inputs: own.append(inputs[0]))
    seen = spy(layer, x, Graph.of(torch.tensor([[0, 1], [1, 0]]), 2))
    factor = seen["aggregate"][0].flip(0) / seen["message"][1]
    assert set(factor[seen["message"][1] != 0].tolist()) == {0.0, 2.0}
    torch.testing.assert_close(own[0], seen["inputs"][1] * factor.nan_to_num())
