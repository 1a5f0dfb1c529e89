"""Products of tall matrices through oneDNN."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.layers.products import BLOCK, ONEDNN_FROM, matmul, suits_onednn

TALL = ONEDNN_FROM // (32 * 48) + 1


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_both_whole_blocks_and_the_rest_occur():
    assert TALL > BLOCK
    assert TALL % BLOCK


@pytest.mark.parametrize("rows", [TALL, 4 * BLOCK, 7])
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
def test_onednn_meets_a_single_shape():
    """It would keep a buffer for every other."""

    class Shapes(TorchDispatchMode):
        seen: set[tuple[int, ...]] = set()  # noqa: RUF012

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "linear_pointwise" in str(func):
                self.seen.add(tuple(args[0].shape))
            return func(*args, **(kwargs or {}))

    weight = torch.randn(32, 32, requires_grad=True)
    with Shapes() as shapes:
        for rows in (3 * TALL, 3 * TALL + 1, 4 * TALL):
            matmul(torch.randn(rows, 32, requires_grad=True), weight).sum().backward()
    assert shapes.seen == {(BLOCK, 32)}


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_large_float32_products_alone_go_to_onednn():
    x, weight = torch.randn(TALL, 32), torch.randn(32, 48)
    assert suits_onednn(x, weight)
    assert matmul(x, weight.requires_grad_()).grad_fn.name() == "_TallProductBackward"
    assert not suits_onednn(x[:7], weight)
    torch.set_num_threads(2)
    assert not suits_onednn(x, weight)
    torch.set_num_threads(1)
    assert not suits_onednn(x.double(), weight.double())
