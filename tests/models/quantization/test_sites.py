"""Sites are called by their role, and say which parameter they quantize."""

from __future__ import annotations

import pytest

from models.quantization.column_scales import ColumnScales
from models.quantization.fake_quantize import FakeQuantize, Site
from models.quantization.learned_step import LearnedStep
from models.quantization.qconfig import SiteOverride
from models.quantization.sites import ROLES, Sites


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
