"""Embedding against torch's, its site, and the numbers it refuses."""

from __future__ import annotations

import pytest
import torch

from models.layers import Embedding
from tests.fake_gpu import GPU, fake_gpu


def test_rows_and_gradients_equal_torch(sites):
    layer, ids = Embedding(9, 5, sites("fp32")), torch.randint(9, (30, 1))
    theirs = torch.nn.Embedding.from_pretrained(layer.weight.detach().clone(), freeze=False)
    ours = layer(ids)
    expected = theirs(ids[:, 0])
    assert torch.equal(ours, expected)
    assert torch.equal(layer(ids[:, 0]), expected)
    assert torch.equal(layer(ids.float()), expected)
    upstream = torch.randn_like(ours)
    ours.backward(upstream)
    expected.backward(upstream)
    assert torch.equal(layer.weight.grad, theirs.weight.grad)


def test_rows_lie_on_the_grid_of_the_weights(sites, on_grid):
    layer, ids = Embedding(9, 5, sites("qat", 4)), torch.arange(9)
    assert torch.equal(layer(ids), on_grid(layer.weights, layer.weight))
    assert layer.weights.domain == "parameter"


@pytest.mark.parametrize(
    "x", [torch.tensor([0, 9]), torch.tensor([-1, 0]), torch.tensor([0.5, 0.0]), torch.zeros(2, 2, dtype=torch.int64)]
)
def test_what_is_no_category_is_refused(x, sites):
    with pytest.raises(ValueError, match=r"^x: expected one whole number from 0 to 8 per node$"):
        Embedding(9, 5, sites("fp32"))(x)


def test_no_nodes(sites):
    assert Embedding(9, 5, sites("fp32"))(torch.empty(0, 1, dtype=torch.int64)).shape == (0, 5)


def test_a_category_that_there_is_none_of_ends_a_step_on_a_gpu(sites):
    layer, ids = Embedding(4, 8, sites("fp32")), torch.tensor([[0], [4]])
    with fake_gpu(), pytest.raises(RuntimeError):
        layer.to(GPU)(ids.to(GPU))
