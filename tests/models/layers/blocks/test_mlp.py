"""MLP against torch modules, and its sites."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.layers import MLP
from models.quantization.control import quantizers


@pytest.mark.parametrize("batch_norm", [True, False])
def test_fp32_equals_torch(batch_norm, sites):
    ours = MLP(12, [9, 8, 3], sites("fp32"), batch_norm=batch_norm)
    steps = []
    for i, linear in enumerate(ours.linears):
        peer = nn.Linear(*linear.weight.shape)
        peer.load_state_dict({"weight": linear.weight.detach().T, "bias": linear.bias.detach()})
        between = [nn.BatchNorm1d(peer.in_features)] * batch_norm + [nn.ReLU()]
        steps += [*(between if i else []), peer]
    x = torch.randn(40, 12)
    torch.testing.assert_close(ours(x), nn.Sequential(*steps)(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_sites_and_states_are_named_by_the_number_of_the_linear_layer(batch_norm, sites):
    mlp = MLP(12, [9, 3], sites("qat").child("mlp"), signed_inputs=False, batch_norm=batch_norm, domain="graph")
    assert [site.name for site in quantizers(mlp)] == [
        f"mlp.{i}.{name}" for i in (0, 1) for name in ("inputs", "weights", "features")
    ]
    assert {site.domain for site in quantizers(mlp)} == {"graph", "parameter"}
    assert [linear.inputs.config.signed for linear in mlp.linears] == [False, False]
    assert {"0.weight", "1.bias"} <= set(mlp.state_dict())
    assert MLP(12, [9, 3], sites("qat")).linears[0].inputs.config.signed


def test_dropout_acts_on_the_quantized_inputs_of_all_but_the_first(sites, spy):
    mlp, x = MLP(50, [400, 3], sites("qat"), dropout=0.5), torch.randn(20, 50)
    seen = spy(mlp, x)
    first, second = mlp.linears
    hidden = seen["0.features"][1].relu()
    assert torch.equal(seen["1.inputs"][0], hidden)
    torch.testing.assert_close(seen["0.features"][0], seen["0.inputs"][1] @ first.weights(first.weight) + first.bias)
    plain = seen["1.inputs"][1] @ second.weights(second.weight) + second.bias
    assert not torch.allclose(seen["1.features"][0], plain, atol=0.01)
    seen = spy(mlp.eval(), x)
    plain = seen["1.inputs"][1] @ second.weights(second.weight) + second.bias
    torch.testing.assert_close(seen["1.features"][0], plain)
