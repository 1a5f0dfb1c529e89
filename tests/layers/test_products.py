"""Products of tall matrices through oneDNN."""

from __future__ import annotations

import pytest
import torch

from models.layers.functional import ONEDNN_FROM, matmul, suits_onednn

TALL = ONEDNN_FROM // (32 * 48) + 1


@pytest.mark.parametrize("rows", [TALL, 7])
@pytest.mark.parametrize("transposed", [False, True])
def test_products_and_gradients_are_those_of_float64(rows, transposed):
    x, gradient = torch.randn(rows, 32), torch.randn(rows, 48)
    weight = torch.randn(48, 32).t() if transposed else torch.randn(32, 48)
    single = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    double = [x.double().requires_grad_(), weight.double().requires_grad_()]
    got, expected = matmul(*single), double[0] @ double[1]
    torch.testing.assert_close(got, expected.float(), rtol=0, atol=1e-4)
    got.backward(gradient)
    expected.backward(gradient.double())
    torch.testing.assert_close(single[0].grad, double[0].grad.float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(single[1].grad, double[1].grad.float(), rtol=0, atol=1e-2)


def test_only_what_needs_a_gradient_gets_one():
    x, weight = torch.randn(TALL, 32), torch.randn(32, 48, requires_grad=True)
    matmul(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0)[:, None].expand(32, 48), rtol=0, atol=1e-2)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_large_float32_products_alone_go_to_onednn():
    x, weight = torch.randn(TALL, 32), torch.randn(32, 48)
    assert suits_onednn(x, weight)
    assert matmul(x, weight.requires_grad_()).grad_fn.name() == "_TallProductBackward"
    assert not suits_onednn(x[:7], weight)
    assert not suits_onednn(x.double(), weight.double())
