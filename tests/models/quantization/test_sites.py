"""Sites are called by their role, and say which parameter they quantize."""

from __future__ import annotations

import pytest
from torch import nn

from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.learned_step import LearnedStep
from models.quantization.qconfig import SiteOverride
from models.quantization.scales.columns import ColumnScales
from models.quantization.sites import ROLES, Sites, bit_widths


@pytest.mark.parametrize("role", ROLES)
def test_a_site_is_called_by_its_role_behind_the_path_of_its_layer(role, make_scheme):
    site = Sites(make_scheme("qat")).child("convs.0").child("mlp")(role, "node")
    assert (site.name, site.role, site.parameter) == (f"convs.0.mlp.{role}", role, None)


def test_a_role_that_there_is_not_is_refused(make_scheme):
    with pytest.raises(ValueError, match=r"site convs\.0\.weight: expected one of the roles inputs, weights"):
        Sites(make_scheme("qat"), "convs.0.")("weight", "parameter")


@pytest.mark.parametrize("scheme", ["fp32", "qat", "lsq", "columns"])
def test_the_site_of_a_parameter_says_which(scheme, make_scheme):
    sites = Sites(make_scheme(scheme))
    assert (sites.matrix("weight").parameter, sites.matrix("weight").role) == ("weight", "weights")
    assert sites.parameter("attention", "attention").parameter == "attention"
    assert {sites.matrix("weight").domain, sites.parameter("attention", "attention").domain} == {"parameter"}


@pytest.mark.parametrize(
    ("scheme", "matrix", "vectors"),
    [
        ("fp32", Site, Site),
        ("qat", FakeQuantize, FakeQuantize),
        ("lsq", LearnedStep, LearnedStep),
        ("columns", ColumnScales, FakeQuantize),
    ],
)
def test_only_matrices_have_scales_a_column(scheme, matrix, vectors, make_scheme):
    sites = Sites(make_scheme(scheme))
    assert type(sites.matrix("weight")) is matrix
    assert type(sites.parameter("attention", "attention")) is vectors


def test_an_override_of_a_role_reaches_it_in_every_layer(make_scheme):
    scheme = make_scheme("qat", 8, overrides=[SiteOverride("*.weights", bits=4)])
    sites = [Sites(scheme).child("convs.0"), Sites(scheme).child("readout.heads.1.0")]
    assert [(s.matrix("weight").bits, s("features", "node").bits) for s in sites] == [(4, 8), (4, 8)]


class Chain(nn.Module):
    def __init__(self, *sites: nn.Module) -> None:
        super().__init__()
        self.sites = nn.ModuleList(sites)


def test_bits_are_those_of_the_sites_after_all_overrides(make_scheme):
    rules = [SiteOverride("b.inputs", bits=32), SiteOverride("*.weights", bits=4), SiteOverride("*.attention", bits=6)]
    sites = Sites(make_scheme("qat", 8, overrides=rules))
    parts = [sites.child(name) for name in "abc"]
    chain = Chain(
        *(part("inputs", "node") for part in parts),
        *(part.matrix("weight") for part in parts),
        parts[1].parameter("attention", "att"),
    )
    assert bit_widths(chain) == {
        "weights": 4,
        "activations": 8,
        "exceptions": {"b.inputs": 32, "b.attention": 6},
    }


def test_bits_of_no_sites_and_of_fp32_are_32(make_scheme):
    assert bit_widths(nn.Linear(1, 1)) == {"weights": 32, "activations": 32, "exceptions": {}}
    fp32 = Sites(make_scheme("fp32"), "a.")
    assert bit_widths(Chain(fp32("inputs", "node"), fp32.matrix("weight")))["weights"] == 32
