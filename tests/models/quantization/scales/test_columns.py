"""Weights with a scale a column."""

from __future__ import annotations

import pytest
import torch

from models.architectures import GAT, GCN, GIN
from models.layers import QuantLinear
from models.quantization.control import quantizers
from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.qconfig import NoiseConfig, SiteOverride
from models.quantization.scales.columns import ColumnScales
from models.quantization.sites import Sites

POWERS = torch.tensor([0.25, 1.0, 2.0**-20, 8.0, 2.0**20])


@pytest.fixture(params=[8, 4, 2])
def site(request, make_scheme):
    return Sites(make_scheme("qat", request.param, weight_scales="column")).matrix("weights")


@pytest.fixture
def weight():
    return torch.randn(40, 5) * torch.tensor([1.0, 0.01, 30.0, 1e-8, 3.0])


def test_each_column_lies_on_its_own_symmetric_grid(site, weight):
    y, scales, codes = site(weight), site.column_scales(weight), site.codes(weight)
    largest = 2 ** (site.bits - 1) - 1
    assert torch.equal(y, codes * scales)
    assert codes.dtype == torch.int32
    assert codes.abs().amax(0).tolist() == [largest] * 5
    assert ((y - weight).abs() <= scales / 2 * 1.0001).all()


def test_a_column_s_magnitude_changes_nothing_but_its_scale(site, weight):
    assert torch.equal(site.codes(weight * POWERS), site.codes(weight))
    assert torch.equal(site(weight * POWERS), site(weight) * POWERS)
    assert torch.equal(site.column_scales(weight * POWERS), site.column_scales(weight) * POWERS)


def test_a_column_of_zeros_stays_zero(site, weight):
    weight[:, 1] = 0.0
    assert not site(weight)[:, 1].any()
    assert torch.isfinite(site(weight)).all()


def test_training_and_evaluation_round_alike_and_every_gradient_passes(site, weight):
    weight.requires_grad_()
    y = site(weight)
    coefficients = torch.randn_like(weight)
    (y * coefficients).sum().backward()
    assert torch.equal(weight.grad, coefficients)
    assert torch.equal(site.eval()(weight), y)


def test_noise_leaves_entries_alone_in_training_only(make_scheme, weight):
    site = Sites(make_scheme("nqat", 4, weight_scales="column", noise=NoiseConfig(0.3, "weights"))).matrix("weights")
    rounded = site.eval()(weight)
    noisy = site.train()(weight)
    changed = noisy != weight
    assert torch.equal(noisy[changed], rounded[changed])
    assert 0.1 < changed.float().mean() < 0.5


@pytest.mark.parametrize("architecture", [GCN, GAT, GIN])
def test_every_matrix_of_a_network_and_nothing_else_has_them(architecture, make_scheme):
    network = architecture(6, 3, make_scheme("dq", 4, weight_scales="column"))
    plain = architecture(6, 3, make_scheme("dq", 4))
    names = {site.name for site in network.modules() if isinstance(site, ColumnScales)}
    assert names == {site.name for site in quantizers(plain) if site.name.endswith(".weights")}
    assert names | {site.name for site in quantizers(network)} == {site.name for site in quantizers(plain)}


def test_overrides_of_bits_hold(make_scheme):
    overrides = [SiteOverride("a.*", bits=32), SiteOverride("b.*", bits=4)]
    scheme = make_scheme("qat", 8, weight_scales="column", overrides=overrides)
    a, b, c = (QuantLinear(3, 2, Sites(scheme, f"{name}.")).weights for name in "abc")
    assert type(a) is Site
    assert (b.bits, c.bits) == (4, 8)
    assert type(Sites(make_scheme("qat", 8)).matrix("weights")) is FakeQuantize
