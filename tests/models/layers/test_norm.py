"""BatchNorm against torch's in training, and folded in evaluation; normalised rows, rounded once in evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.layers import MLP, BatchNorm, Normalize
from models.layers.graph import Incidence
from models.layers.norm import learned_state


@pytest.fixture
def norms():
    """Ours and torch's after the same ten batches, with the same parameters."""
    pair = BatchNorm(7), nn.BatchNorm1d(7)
    weight, bias = torch.randn(7), torch.randn(7)
    for norm in pair:
        norm.weight.data, norm.bias.data = weight.clone(), bias.clone()
    for _ in range(10):
        x = 3 * torch.randn(50, 7) - 2
        ours, theirs = (norm(x) for norm in pair)
        assert torch.equal(ours, theirs)
    return pair


def test_evaluation_equals_torch_to_float_rounding(norms):
    ours, theirs = (norm.eval() for norm in norms)
    x = 3 * torch.randn(50, 7) - 2
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    scale, shift = ours.folded()
    assert torch.equal(ours(x), x * scale + shift)
    assert scale.dtype == shift.dtype == torch.float32


def test_the_fold_is_rounded_once(norms):
    ours = norms[0]
    scale, shift = ours.folded()
    exact = ours.weight.double() / (ours.running_var.double() + ours.eps).sqrt()
    assert torch.equal(scale, exact.float())
    assert torch.equal(shift, (ours.bias.double() - ours.running_mean.double() * exact).float())


def test_states_are_exchangeable_with_torch(norms):
    ours, theirs = norms
    fresh = BatchNorm(7)
    fresh.load_state_dict(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(fresh.folded(), ours.folded(), strict=True))


def test_what_was_learned_is_everything_but_ranges(sites):
    mlp = MLP(4, [3, 2], sites("qat"), batch_norm=True)
    linear = ["0.weight", "0.bias", "1.weight", "1.bias"]
    norm = [f"norm1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    assert sorted(learned_state(mlp)) == sorted([*linear, *norm])
    assert learned_state(mlp)["norm1.running_mean"].data_ptr() == mlp[1].running_mean.data_ptr()
    assert "norm1.weight" not in learned_state(MLP(4, [3, 2], sites("qat")))


@pytest.mark.parametrize(("over", "per_column"), [("row", False), ("graph", False), ("graph", True), ("all", True)])
def test_evaluation_normalises_in_float64(over, per_column):
    """Large means beside small deviations are what float32 loses."""
    norm = Normalize(5, over, per_column=per_column, learns_share=over == "graph").eval()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    given = {"graphs": Incidence(torch.tensor([1, 0, 1, 1, 0, 0]), 3)} if over == "graph" else {}
    x = torch.randn(6, 5) + 1000
    exact = norm.double()(x.double(), **given)
    assert torch.equal(norm(x, **given), exact.float())
    assert norm.train().float()(x, **given).dtype == torch.float32
    assert not torch.equal(norm(x, **given), exact.float())
