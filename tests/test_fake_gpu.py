"""What the tensors of `tests.fake_gpu` refuse and what they let through."""

from __future__ import annotations

import pytest
import torch

from tests.fake_gpu import GPU, fake_gpu


@pytest.fixture(autouse=True)
def _gpu():
    with fake_gpu():
        yield


def test_tensors_of_two_devices_do_not_meet():
    x = torch.ones(3, device=GPU)
    with pytest.raises(RuntimeError, match="on the same device"):
        x + torch.ones(3)
    assert (x + torch.ones(())).device == GPU, "a number is no tensor of a device"


def test_a_tensor_leaves_only_by_a_copy():
    x = torch.arange(3.0).to(GPU)
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()
    assert x.cpu().numpy().tolist() == x.tolist() == [0.0, 1.0, 2.0]
    assert x.double().device == (x * 2).device == torch.zeros_like(x).device == GPU


def test_gradients_are_where_parameters_are():
    layer = torch.nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    layer.to(GPU)
    layer(torch.ones(4, 3, device=GPU)).sum().backward()
    assert layer.weight.device == layer.weight.grad.device == GPU
    assert torch.equal(layer.cpu().weight, before)


def test_sparse_matrices_are_there_too():
    x = torch.eye(3).to_sparse_csr().to(GPU)
    assert (x.layout, x.device, x.values().device) == (torch.sparse_csr, GPU, GPU)
    assert (x @ torch.ones(3, 2, device=GPU)).cpu().tolist() == [[1.0, 1.0]] * 3
