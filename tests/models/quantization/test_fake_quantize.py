"""Sites: pass-through and fake-quantizing, with masks, noise and sparse rows."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from app.engine.program.grid import dequantize
from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.fused.rounding import round_onto
from models.quantization.qconfig import NoiseConfig, ObserverConfig, QuantScheme
from models.quantization.range_grids import RANGE_MARGIN
from models.quantization.sites import Sites
from models.quantization.sparse import SparseRows


def new_site(bits=8, signed=True, name="inputs", domain="node", **scheme):
    path, _, role = name.rpartition(".")
    return Sites(QuantScheme("test", bits, **scheme), f"{path}." if path else "")(role, domain, signed=signed)


def on_its_grid(site, x):
    grid = site.grid()
    return dequantize(site.codes(x).float(), grid.scale, grid.zero_point)


def test_an_fp32_site_returns_what_it_got_and_has_no_grid():
    site = Sites(QuantScheme()).child("convs.0")("update", "node")
    x = torch.randn(5, 3)
    assert type(site) is Site
    assert site(x, torch.ones(5, dtype=torch.bool)) is x
    assert site.bits == 32
    with pytest.raises(ValueError, match=r"site convs\.0\.update is in FP32"):
        site.codes(x)


def test_sites_carry_their_full_name_domain_and_signedness():
    site = Sites(QuantScheme("test", 5)).child("convs.1").child("mlp.0")("inputs", "node", signed=False)
    assert isinstance(site, FakeQuantize)
    assert (site.name, site.domain, site.bits) == ("convs.1.mlp.0.inputs", "node", 5)
    assert site.config.signed is False


@pytest.mark.parametrize("training", [True, False])
def test_a_tracker_that_saw_nothing_raises_and_names_its_site(training):
    site = new_site(name="convs.0.aggregate").train(training)
    with pytest.raises(ValueError, match=r"site convs\.0\.aggregate: its range tracker has not seen any data"):
        site(torch.ones(3, 2), torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"convs\.0\.aggregate"):
        site.grid()


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("signed", [True, False])
def test_values_are_those_of_the_codes_in_training_and_evaluation(bits, signed):
    site = new_site(bits, signed)
    x = torch.rand(600, 7) * 3.0 - (1.0 if signed else 0.0)
    y = site(x)
    grid = site.grid()
    assert (grid.bits, grid.signed) == (bits, signed)
    assert torch.equal(y, on_its_grid(site, x))
    assert (y - x).abs().max() <= grid.scale * 0.501
    assert torch.equal(site.eval()(y), y)
    assert len(site.codes(x).unique()) >= 2**bits - 2
    assert grid.scale == float(np.float32(grid.scale))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("signed", [True, False])
def test_no_observed_value_is_clipped_under_minmax(bits, signed):
    site = new_site(bits, signed)
    for scale in (0.1, 1.0, 37.0):
        x = torch.rand(100, 3) * scale * (1 if not signed else -1)
        x = x.requires_grad_()
        site(x).sum().backward()
        assert (x.grad == 1).all()


@pytest.mark.parametrize("accumulation", ["running", "momentum"])
@pytest.mark.parametrize(
    ("training", "observing", "moves"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_ranges_move_in_training_only_and_while_observing(training, observing, moves, accumulation):
    site = new_site(observer=ObserverConfig("minmax", accumulation))
    site(torch.randn(10, 2))
    before = site.grid()
    site.train(training).observing = observing
    site(torch.randn(10, 2) * 100)
    assert (site.grid() != before) is moves


class CountedTensor:
    """A `Roundable` that counts what it is asked for."""

    protect = None

    def __init__(self, x):
        self.x, self.formed, self.grids = x, 0, []

    def tensor(self):
        self.formed += 1
        return self.x

    def round_onto(self, grid, count_against=None):
        self.grids.append(grid)
        return round_onto(self.x, grid, None, count_against)


def test_a_step_that_does_not_move_the_range_rounds_once_and_forms_nothing():
    site = new_site(observer=ObserverConfig("percentile", percentile=1.0))
    site(torch.randn(1000, 1))
    moves = 0
    for _ in range(100):
        x, before = CountedTensor(torch.randn(1000, 1)), site.grid()
        rounded = site.observe_and_round(x)
        moved = site.grid() != before
        assert x.formed == moved
        assert x.grids == ([before, site.grid()] if moved else [before])
        assert torch.equal(rounded.values, on_its_grid(site, x.x))
        moves += moved
    assert 0 < moves < 50


def test_protected_rows_pass_and_leave_the_range_alone():
    site = new_site(4)
    x = torch.randn(40, 3)
    protect = torch.arange(40) < 10
    x[:10] *= 1e4
    x.requires_grad_()
    y = site(x, protect)
    assert torch.equal(y[:10], x[:10])
    assert torch.equal(y[10:], on_its_grid(site, x[10:]))
    assert site.grid().scale < 1.0
    y.sum().backward()
    assert (x.grad == 1).all()


@pytest.fixture(params=[0.1, 0.5, 0.9])
def noisy(request):
    """A site with noise, a frozen range that clips its input, and that input [300, 40]."""
    site = new_site(4, gradient="gc", noise=NoiseConfig(request.param))
    x = torch.randn(300, 40)
    site(x)
    site.observing = False
    return site, (2 * x).requires_grad_()


def test_noise_rounds_its_fraction_of_the_entries_in_training(noisy):
    site, x = noisy
    fraction, y = site.config.noise, site(x)
    rounded = y != x
    assert torch.equal(y, torch.where(rounded, on_its_grid(site, x), x))
    assert abs(rounded.float().mean() - fraction) < 5 * math.sqrt(fraction * (1 - fraction) / x.numel())


def test_noise_is_drawn_anew_in_each_step(noisy):
    site, x = noisy
    assert not torch.equal(site(x) == x, site(x) == x)


def test_evaluation_has_no_noise(noisy):
    site, x = noisy
    assert torch.equal(site.eval()(x), on_its_grid(site, x))


def test_gradients_are_clipped_only_where_noise_lets_round(noisy):
    site, x = noisy
    y = site(x)
    y.sum().backward()
    clipped = (y != x) & ((x - on_its_grid(site, x)).abs() > site.grid().scale)
    assert clipped.sum() > 10
    assert (x.grad[y == x] == 1).all()
    assert (x.grad[clipped] == 0).all()


def test_noise_on_weights_leaves_other_sites_alone():
    weights_only = NoiseConfig(0.5, "weights")
    x = torch.randn(50, 10)
    for domain, noisy in (("parameter", True), ("node", False), ("edge", False)):
        site = new_site(4, domain=domain, noise=weights_only)
        assert torch.equal(site(x), on_its_grid(site, x)) is not noisy


@pytest.mark.parametrize("gradient", ["ste", "gc"])
@pytest.mark.parametrize("masked", [False, True])
def test_sparse_rows_are_quantized_as_dense_ones(masked, gradient, bag_of_words):
    dense = bag_of_words(60, 80).requires_grad_()
    sparse = SparseRows.from_tensor(dense.detach().to_sparse_csr())
    sparse.values.requires_grad_()
    protect = torch.rand(60) < 0.4 if masked else None
    dense_site, sparse_site = (new_site(4, gradient=gradient) for _ in range(2))
    expected, got = dense_site(dense, protect), sparse_site(sparse, protect)
    assert sparse_site.grid() == dense_site.grid()
    assert got.pattern is sparse.pattern
    assert torch.equal(got.to_dense(), expected)
    upstream = torch.randn(60, 80)
    expected.backward(upstream)
    got.to_dense().backward(upstream)
    stored = SparseRows.from_tensor(dense.detach().to_sparse_csr()).pattern
    assert torch.equal(sparse.values.grad, dense.grad[stored.rows, stored.cols.long()])


def test_rows_without_a_stored_entry():
    site = new_site()
    site(torch.randn(3, 4))
    empty = SparseRows.from_tensor(torch.zeros(3, 4).to_sparse_csr())
    assert torch.equal(site(empty, torch.zeros(3, dtype=torch.bool)).to_dense(), torch.zeros(3, 4))


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
@pytest.mark.parametrize("observer", [ObserverConfig("percentile", "momentum"), ObserverConfig()])
def test_a_trained_site_continues_elsewhere(way, observer):
    site = new_site(4, observer=observer)
    x = torch.randn(100, 10)
    site(x)
    site.observing = False
    if way == "state_dict":
        other = new_site(4, observer=observer)
        other.load_state_dict(site.state_dict())
    else:
        other = pickle.loads(pickle.dumps(site)) if way == "pickle" else copy.deepcopy(site)
    assert not other.observing
    assert other.grid() == site.grid()
    assert torch.equal(other.eval()(x), site.eval()(x))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("signed", [True, False])
def test_a_symmetric_grid_has_its_zero_in_the_middle_and_covers_the_range(bits, signed):
    site, x = new_site(bits, signed, symmetric=True), torch.tensor([[-1.0 * signed, 3.0]])
    y, grid = site(x), site.grid()
    assert grid.zero_point == 0
    assert grid.scale == pytest.approx(3.0 * RANGE_MARGIN / grid.qmax)
    assert (y - x).abs().max() <= grid.scale


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_scale_that_is_a_power_of_two_is_the_next_larger_one(symmetric):
    x = torch.randn(100, 3)
    plain, site = (new_site(6, symmetric=symmetric, power_of_two=power) for power in (False, True))
    plain(x), site(x)
    scale = site.grid().scale
    assert np.log2(scale) % 1 == 0
    assert plain.grid().scale <= scale < 2 * plain.grid().scale
    assert (site(x) - x).abs().max() <= scale / 2 * 1.01


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_numbers_of_half_precision_are_rounded_in_float32(half):
    site, other, x = new_site(8), new_site(8), torch.randn(50, 4).to(half).requires_grad_()
    y = site(x)
    assert torch.equal(y, other(x.detach().float()))
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (torch.float32, half)
