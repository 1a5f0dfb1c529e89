"""GCNConv against PyG's, dense against sparse, and the mask at every site."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GCNConv as StockGCNConv

from models.layers import GCNConv
from models.layers.convs.propagation import NORMS
from models.layers.graph import Graph
from models.quantization.fake_quantize import FakeQuantize


@pytest.mark.parametrize("norm", NORMS)
def test_fp32_equals_pyg(norm, edges, sites, same_as):
    ours, theirs = GCNConv(12, 7, sites("fp32"), propagate=NORMS[norm]), StockGCNConv(12, 7)
    torch.nn.init.normal_(ours.bias)
    theirs.load_state_dict({"lin.weight": ours.weight.detach().T, "bias": ours.bias.detach()})
    pairs = [(ours.weight, theirs.lin.weight, torch.t), (ours.bias, theirs.bias, torch.clone)]
    same_as(ours, theirs, edges, pairs)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("scheme", "share"), [("fp32", 0.0), ("qat", 0.02)])
def test_sparse_features_equal_dense_ones(norm, scheme, share, edges, sites, sparse_as_dense):
    sparse_as_dense(GCNConv(12, 7, sites(scheme), propagate=NORMS[norm]), edges, share)


def test_every_site_follows_its_mask_in_the_paper_s_form(graph, protect, sites, check_masks):
    of_source = protect[graph.with_self_loops.source]
    masks = {
        "inputs": protect, "weights": None, "features": protect, "norm": None,
        "message": of_source, "aggregate": protect, "update": protect,
    }  # fmt: skip
    check_masks(GCNConv(12, 7, sites("qat", 4)), graph, protect, masks)


def test_every_site_follows_its_mask_in_the_factored_form(graph, protect, sites, check_masks):
    masks = {"inputs": protect, "weights": None, "features": protect, "aggregate": protect, "update": protect}
    check_masks(GCNConv(12, 7, sites("qat", 4), propagate=NORMS["factored"]), graph, protect, masks)


@pytest.mark.parametrize("norm", NORMS)
def test_all_nodes_protected_is_the_fp32_layer_with_quantized_weights(norm, edges, sites, on_grid):
    """In the paper's form the coefficients of the edges are quantized as well: they belong to no node."""
    layer, x, everyone = (
        GCNConv(12, 7, sites("qat", 4), propagate=NORMS[norm]),
        torch.randn(40, 12),
        torch.ones(40, dtype=torch.bool),
    )
    graph = Graph.of(edges, 40)
    for site in (layer.inputs, layer.update, layer.propagate.features, layer.propagate.aggregate):
        site.observer.range.copy_(torch.tensor([-1.0, 1.0]))
    if norm == "edge":
        layer.propagate.message.observer.range.copy_(torch.tensor([-1.0, 1.0]))
    got = layer(x, graph, everyone)
    weight = on_grid(layer.weights, layer.weight)
    assert not torch.equal(weight, layer.weight)
    loops = graph.with_self_loops
    coefficient = loops.symmetric_norm
    if norm == "edge":
        coefficient = on_grid(layer.propagate.norm, coefficient)
    stock = StockGCNConv(12, 7, add_self_loops=False, normalize=False)
    stock.load_state_dict({"lin.weight": weight.T, "bias": layer.bias.detach()})
    expected = stock(x, torch.stack([loops.source, loops.target]), coefficient)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_dropout_acts_behind_the_inputs_site(graph, sites):
    layer, x = GCNConv(12, 7, sites("qat", 8), dropout=0.9), torch.randn(40, 12)
    layer(x, graph)
    assert layer.inputs.observer.bounds == tuple(end.item() for end in x.aminmax())
    assert not torch.equal(layer(x, graph), layer(x, graph))
    layer.eval()
    assert torch.equal(layer(x, graph), layer(x, graph))


@pytest.mark.parametrize("norm", NORMS)
def test_signedness_is_given_by_position(norm, sites):
    layer = GCNConv(12, 7, sites("qat"), propagate=NORMS[norm], signed_inputs=False)
    unsigned = {site.name for site in layer.modules() if isinstance(site, FakeQuantize) and not site.config.signed}
    assert unsigned == ({"inputs", "norm"} if norm == "edge" else {"inputs"})
