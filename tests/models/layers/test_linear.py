"""QuantLinear against torch.nn.Linear, dense against sparse, and its sites."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.layers import QuantLinear
from models.layers.graph import features_of


@pytest.mark.parametrize("bias", [True, False])
def test_fp32_equals_torch(bias, sites):
    ours, theirs = QuantLinear(12, 7, sites("fp32"), bias=bias), nn.Linear(12, 7, bias)
    state = {"weight": ours.weight.detach().T} | ({"bias": ours.bias.detach()} if bias else {})
    theirs.load_state_dict(state)
    x = torch.randn(20, 12)
    mine, peers = (x.clone().requires_grad_() for _ in range(2))
    got, expected = ours(mine), theirs(peers)
    torch.testing.assert_close(got, expected)
    got.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mine.grad, peers.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad.T)
    assert len(list(ours.parameters())) == 1 + bias


@pytest.mark.parametrize(("scheme", "share"), [("fp32", 0.0), ("qat", 0.02)])
def test_sparse_features_equal_dense_ones(scheme, share, sites, sparse_as_dense, random_edges):
    class OnGraph(nn.Module):
        """The layer with the signature of a convolution."""

        def __init__(self):
            super().__init__()
            self.linear = QuantLinear(12, 7, sites(scheme))

        def forward(self, x, graph):
            return self.linear(x)

    sparse_as_dense(OnGraph(), random_edges(40, 10), share)


@pytest.mark.parametrize("bias", [True, False])
def test_inputs_weights_and_the_sum_with_the_bias_are_quantized(bias, sites, on_grid):
    layer, x = QuantLinear(12, 7, sites("qat", 4), bias=bias, signed_inputs=False), torch.rand(20, 12)
    y = layer(x)
    assert [site.config.signed for site in (layer.inputs, layer.weights, layer.features)] == [False, True, True]
    product = on_grid(layer.inputs, x) @ on_grid(layer.weights, layer.weight)
    assert torch.equal(y, on_grid(layer.features, product + layer.bias if bias else product))


def test_initial_values_fill_the_range_of_torch_s(sites):
    layer = QuantLinear(400, 300, sites("fp32"))
    for parameter in (layer.weight, layer.bias):
        assert parameter.abs().max() <= 0.05
        assert parameter.abs().max() > 0.045
        assert parameter.min() < -0.045


def test_features_without_entries(sites):
    layer = QuantLinear(12, 7, sites("qat", 8))
    layer(torch.randn(5, 12))
    empty = features_of(torch.zeros(5, 12).to_sparse_csr())
    layer.eval()
    assert torch.equal(layer(empty), layer(torch.zeros(5, 12)))
