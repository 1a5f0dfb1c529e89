"""Learned step sizes: where they begin, their gradient, what masks, noise and optimizers make of them."""

from __future__ import annotations

import pytest
import torch

from app.engine.program.grid import code_limits, qparams
from models.layers.norm import learned_state
from models.quantization.control import calibrate, set_observing, step_sizes
from models.quantization.fused.rounding import fake_quantize
from models.quantization.learned_step import LearnedStep
from models.quantization.qconfig import NoiseConfig, ObserverConfig
from models.quantization.range_grids import grid_with_margin
from models.quantization.sites import Sites


@pytest.fixture
def make_site(make_scheme):
    """make_site(4, signed=False, gradient="ste", ...) -> a fresh site in training mode."""

    def make(bits=4, signed=True, **changes):
        return Sites(make_scheme("lsq", bits, **changes))("inputs", "node", signed=signed)

    return make


@pytest.fixture
def x():
    return torch.cat([torch.randn(300, 4), 5 + torch.rand(3, 4)])


def paper(x, log_step, zero_point, qmin, qmax):
    """y and its gradients by autograd: rounding is a constant shift, and a clamped code a constant."""
    scaled = x / log_step.exp() + zero_point
    codes = (scaled + (scaled.round() - scaled).detach()).clamp(qmin, qmax)
    return (codes - zero_point) * log_step.exp()


def test_it_begins_where_the_observer_of_the_first_step_ends(make_site, x):
    site, percentile = make_site(), make_site(observer=ObserverConfig("percentile"))
    y = site(x)
    torch.testing.assert_close(y, percentile(x), rtol=1e-6, atol=0)
    assert site.grid().zero_point == grid_with_margin(*site.observer.bounds, bits=4, signed=True).zero_point
    site(10 * x)
    assert site.grid().scale == pytest.approx(percentile.grid().scale)
    assert percentile(10 * x).abs().max() > 5 * y.abs().max(), "a range that only follows has followed"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # by the fused kernel, and by torch
@pytest.mark.parametrize("shape", [(303, 4), (1212,), (101, 3, 4)])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_gradients_are_those_of_the_paper(make_site, x, bits, signed, shape, dtype):
    x = (x if signed else x.abs()).view(shape).to(dtype)
    site, upstream = make_site(bits, signed), torch.randn(shape, dtype=dtype)
    site(x)
    inputs = x.clone().requires_grad_()
    (site(inputs) * upstream).sum().backward()
    log_step = site.log_step.detach().clone().requires_grad_()
    expected = x.clone().requires_grad_()
    qmin, qmax = code_limits(bits, signed=signed)
    (paper(expected, log_step, site.zero_point, qmin, qmax) * upstream).sum().backward()
    torch.testing.assert_close(site.log_step.grad, log_step.grad / (x.numel() * qmax) ** 0.5, rtol=1e-3, atol=1e-7)
    grid = site.grid()
    inside = x.clone().requires_grad_()
    (fake_quantize(inside, grid, "gc") * upstream).sum().backward()
    assert torch.equal(inputs.grad, inside.grad)


def test_a_step_that_is_too_wide_shrinks(make_site):
    site, x = make_site(8), torch.randn(1000, 4)
    site(10 * x)
    optimizer = torch.optim.Adam(site.parameters(), lr=0.05)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((site(x) - x) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 20


def test_protected_rows_pass_and_do_not_pull(make_site, x):
    site, protect = make_site(), torch.rand(len(x)) < 0.5
    site(x)
    y = site(x, protect)
    assert torch.equal(y[protect], x[protect])
    y[protect].sum().backward()
    assert site.log_step.grad == 0


def test_straight_through_is_the_identity(make_site, x):
    site, inputs = make_site(gradient="ste"), x.clone().requires_grad_()
    site(inputs).sum().backward()
    assert torch.equal(inputs.grad, torch.ones_like(x))


def test_noise_leaves_entries_alone(make_site, x):
    site = make_site(noise=NoiseConfig(0.5, "all"))
    assert 0.3 < (site(x) == x).float().mean() < 0.7


def test_codes_lie_on_a_scale_that_is_a_float32(make_site, x):
    site = make_site()
    y = site(x)
    site.eval()
    grid = site.grid()
    assert grid.scale == float(torch.tensor(grid.scale))
    assert torch.equal(site(x), (site.codes(x) - grid.zero_point) * torch.tensor(grid.scale))
    assert torch.equal(site(x), y)


def test_frozen_and_evaluated_sites_do_not_begin(make_site, x):
    for site in (make_site().eval(), make_site()):
        set_observing(site, observing=False)
        with pytest.raises(ValueError, match="site inputs: its range tracker has not seen any data"):
            site(x)


def test_calibration_begins_it(make_site, x):
    site = make_site()
    calibrate(site, lambda: site(x))
    _, zero_point = qparams(*(torch.tensor(end) for end in site.observer.bounds), *code_limits(4, signed=True))
    assert site.grid().zero_point == zero_point


def test_a_step_is_no_learned_weight_and_its_state_is_kept(make_site, x):
    site, other = make_site(), make_site()
    assert isinstance(site, LearnedStep)
    assert step_sizes(site) == [site.log_step]
    assert learned_state(site) == {}
    site(x)
    other.load_state_dict(site.state_dict())
    assert other.grid() == site.grid()


def test_in_the_warm_up_a_step_follows_the_range_and_is_learned_only_then(make_site):
    site, fresh = (make_site(observer=ObserverConfig("minmax", "learned", momentum=0.5, warmup=2)) for _ in range(2))
    follower = make_site(observer=ObserverConfig("minmax", "momentum", momentum=0.5))
    optimizer = torch.optim.SGD(site.parameters(), lr=0.1)
    for number in range(3):
        x = (number + 1) * torch.randn(50, 4)
        y = site(x)
        torch.testing.assert_close(y, follower(x), rtol=1e-5, atol=1e-6)
        optimizer.zero_grad()
        (y**2).sum().backward()
        optimizer.step()
    learned = site.grid()
    assert learned.scale != pytest.approx(follower.grid().scale)
    site(100 * x)
    assert site.grid() == learned
    fresh.load_state_dict(site.state_dict())
    fresh(100 * x)
    assert fresh.grid() == learned, "a checkpoint keeps that the warm-up is over"


@pytest.mark.parametrize("training", [False, True])
def test_no_rows_pass(make_site, x, training):
    site = make_site()
    site(x)
    step, nothing = site.log_step.clone(), x[:0].clone().requires_grad_()
    y = site.train(training)(nothing)
    y.sum().backward()
    assert y.shape == nothing.grad.shape == (0, 4)
    assert site.log_step.grad == 0
    assert torch.equal(site.log_step, step)


def test_learned_steps_may_be_powers_of_two(make_site):
    site = make_site(8, power_of_two=True)
    site(torch.randn(100, 3))
    site.log_step.data += 0.3
    assert torch.tensor(site.grid().scale).log2() % 1 == 0
