"""What the tensors of `tests.fake_gpu` refuse and what they let through."""

from __future__ import annotations

import pytest
import torch

from tests.fake_gpu import GPU, fake_gpu, host_waits


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


MAKE_THE_HOST_WAIT = {
    "item": lambda x: x[0].item(),
    "bool of a tensor": lambda x: bool(x[0]),
    "a number in a condition": lambda x: 1 if x[0] > 0 else 2,
    "int": lambda x: int(x[0]),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to the host": lambda x: x.to("cpu"),
    "copy into the host": lambda x: torch.empty(3).copy_(x),
    "to sparse": lambda x: x[None].to_sparse_csr(),
    "nonzero": lambda x: x.nonzero(),
    "indexing by a mask": lambda x: x[x > 0],
    "writing by a mask": lambda x: x.__setitem__(x > 0, torch.ones(2, device=GPU)),
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "repeat_interleave": lambda x: x.repeat_interleave(x.long()),
    "equal": lambda x: torch.equal(x, x),
}


@pytest.mark.parametrize("what", MAKE_THE_HOST_WAIT)
def test_what_makes_the_host_wait_is_counted_with_its_line(what):
    x = torch.tensor([0.0, 1.0, 2.0], device=GPU)
    with host_waits() as waits:
        MAKE_THE_HOST_WAIT[what](x)
    assert waits
    assert all(" @ tests/test_fake_gpu.py:" in place for place in waits)
    with host_waits() as waits:
        x.masked_fill(x > 0, 2.0).sum().add(x[1:].sort().values.index_select(0, x[:1].long()))
    assert not waits, "none of these"
