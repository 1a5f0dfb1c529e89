"""Schemes as data and their resolution for a site."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from models.quantization.qconfig import (
    NoiseConfig,
    ObserverConfig,
    ProtectionConfig,
    QuantScheme,
    SiteOverride,
    resolve,
)

DOMAINS = ["node", "edge", "parameter"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_default_is_fp32_everywhere(domain):
    assert not QuantScheme().quantizes
    assert resolve(QuantScheme(), "convs.0.inputs", domain, signed=True) is None


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_site_takes_the_settings_of_the_scheme(bits):
    scheme = QuantScheme("mine", bits, gradient="ste", observer=ObserverConfig("minmax", "momentum", momentum=0.3))
    assert scheme.quantizes
    site = resolve(scheme, "convs.0.inputs", "node", signed=False)
    assert (site.bits, site.signed, site.gradient, site.noise) == (bits, False, "ste", None)
    assert (site.observer.statistic, site.observer.accumulation, site.observer.momentum) == ("minmax", "momentum", 0.3)


def test_the_first_override_that_matches_wins():
    scheme = QuantScheme(
        "mixed",
        8,
        overrides=[
            SiteOverride("convs.0.weights", bits=4),
            SiteOverride("convs.0.*", bits=6),
            SiteOverride("*.weights", bits=2),
        ],
    )
    names = ["convs.0.weights", "convs.0.inputs", "convs.1.weights", "convs.1.inputs", "weights", "convs.01.update"]
    assert [resolve(scheme, name, "node", signed=True).bits for name in names] == [4, 6, 2, 8, 8, 8]
    reversed_order = QuantScheme("mixed", 8, overrides=scheme.overrides[::-1])
    assert resolve(reversed_order, "convs.0.weights", "node", signed=True).bits == 2


def test_what_a_rule_leaves_out_is_left_to_the_next():
    current = ObserverConfig("minmax", "momentum", momentum=1.0)
    rules = [SiteOverride("*.weights", bits=4), SiteOverride("*.weights", observer=current)]
    for overrides in (rules, rules[::-1]):
        site = resolve(QuantScheme("dq", 8, overrides=overrides), "convs.0.weights", "parameter", signed=True)
        assert (site.bits, site.observer.accumulation, site.observer.momentum) == (4, "momentum", 1.0)


def test_names_are_matched_whole_and_by_case():
    scheme = QuantScheme("mixed", 8, overrides=[SiteOverride("weights", bits=4), SiteOverride("Convs.*", bits=4)])
    assert resolve(scheme, "convs.0.weights", "parameter", signed=True).bits == 8


def test_32_bits_leave_one_site_in_fp32_or_quantize_only_one():
    all_but_one = QuantScheme("qat", 8, overrides=[SiteOverride("convs.1.update", bits=32)])
    assert resolve(all_but_one, "convs.1.update", "node", signed=True) is None
    assert resolve(all_but_one, "convs.0.update", "node", signed=True).bits == 8
    only_one = QuantScheme("weights", 32, overrides=[SiteOverride("*.weights", bits=4)])
    assert resolve(only_one, "convs.1.update", "node", signed=True) is None
    assert resolve(only_one, "convs.1.weights", "parameter", signed=True).bits == 4


def test_an_override_of_the_observer_keeps_the_bits():
    momentum = ObserverConfig(accumulation="momentum")
    scheme = QuantScheme("qat", 4, overrides=[SiteOverride("*.message", observer=momentum)])
    site = resolve(scheme, "convs.0.message", "edge", signed=True)
    assert (site.bits, site.observer.accumulation) == (4, "momentum")
    assert resolve(scheme, "convs.0.update", "edge", signed=True).observer.accumulation == "running"


@pytest.mark.parametrize(("bits", "per_cent"), [(8, 0.1), (7, 1.0), (4, 1.0), (2, 1.0)])
def test_the_default_percentile_follows_the_bits_of_the_site(bits, per_cent):
    percentile = ObserverConfig("percentile")
    assert (
        resolve(QuantScheme("dq", bits, observer=percentile), "a", "node", signed=True).observer.percentile == per_cent
    )
    mixed = QuantScheme("dq", 8, observer=percentile, overrides=[SiteOverride("a", bits=bits)])
    assert resolve(mixed, "a", "node", signed=True).observer.percentile == per_cent


@pytest.mark.parametrize("per_cent", [0.0, 0.5])
def test_a_given_percentile_is_kept(per_cent):
    scheme = QuantScheme("dq", 4, observer=ObserverConfig("percentile", percentile=per_cent))
    assert resolve(scheme, "a", "node", signed=True).observer.percentile == per_cent


@pytest.mark.parametrize("domain", DOMAINS)
def test_noise_acts_on_all_sites_or_on_weights(domain):
    everywhere = QuantScheme("nqat", 8, noise=NoiseConfig(0.3, "all"))
    assert resolve(everywhere, "a", domain, signed=True).noise == 0.3
    weights = QuantScheme("nqat", 8, noise=NoiseConfig(0.3, "weights"))
    assert resolve(weights, "a", domain, signed=True).noise == (0.3 if domain == "parameter" else None)


def test_resolving_leaves_the_scheme_as_it_was():
    scheme = QuantScheme("dq", 4, observer=ObserverConfig("percentile"))
    resolve(scheme, "a", "node", signed=True)
    assert scheme.observer.percentile is None
    with pytest.raises(FrozenInstanceError):
        scheme.bits = 8


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: QuantScheme(bits=1), "bits: .* from 2 to 8, got 1"),
        (lambda: QuantScheme(bits=16), "bits: .* from 2 to 8, got 16"),
        (lambda: QuantScheme(overrides=[SiteOverride("*", bits=9)]), "bits: .* from 2 to 8, got 9"),
        (lambda: QuantScheme(overrides=[SiteOverride("*", bits=0)]), "bits: .* from 2 to 8, got 0"),
        (lambda: ObserverConfig(percentile=50.0), "percentile: .* got 50"),
        (lambda: ObserverConfig(percentile=-0.1), "percentile: .* got -0.1"),
        (lambda: ObserverConfig(momentum=0.0), r"momentum: .* got 0.0"),
        (lambda: ObserverConfig(momentum=1.1), r"momentum: .* got 1.1"),
        (lambda: ObserverConfig(sample=0), "sample: .* got 0"),
        (lambda: NoiseConfig(0.0), r"noise.fraction: .* got 0.0"),
        (lambda: NoiseConfig(1.5), r"noise.fraction: .* got 1.5"),
        (lambda: ProtectionConfig(0.2, 0.1), "p_min=0.2, p_max=0.1"),
        (lambda: ProtectionConfig(-0.1, 0.1), "p_min=-0.1"),
        (lambda: ProtectionConfig(0.0, 1.1), "p_max=1.1"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("changes", "domain", "part", "bits"),
    [
        ({}, "node", "first", 8),
        ({"weight_bits": 4}, "parameter", "trunk", 4),
        ({"weight_bits": 4}, "node", "trunk", 8),
        ({"weight_bits": 4, "last_bits": 6}, "parameter", "last", 6),
        ({"first_bits": 6}, "edge", "first", 6),
        ({"first_bits": 6}, "edge", "last", 8),
    ],
)
def test_bits_of_a_part_go_before_those_of_weights_and_these_before_those_of_all(changes, domain, part, bits):
    assert resolve(QuantScheme("mixed", 8, **changes), "a.b", domain, signed=True, part=part).bits == bits


def test_weights_alone_may_be_quantized():
    scheme = QuantScheme("weights", 32, weight_bits=4)
    assert scheme.quantizes
    assert resolve(scheme, "a.inputs", "node", signed=True) is None
    assert resolve(scheme, "a.weights", "parameter", signed=True).bits == 4


@pytest.mark.parametrize("setting", ["weight_bits", "first_bits", "last_bits"])
def test_other_bits_are_checked_too(setting):
    with pytest.raises(ValueError, match="from 2 to 8, got 9"):
        QuantScheme("wrong", 8, **{setting: 9})


def test_only_learned_ranges_have_a_warm_up():
    with pytest.raises(ValueError, match="warmup: only learned ranges have one"):
        ObserverConfig(accumulation="running", warmup=3)
    with pytest.raises(ValueError, match="warmup: expected a number of training steps, got -1"):
        ObserverConfig(accumulation="learned", warmup=-1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"percentile": 1.0}, "percentile: 1.0 has no effect with statistic minmax; leave it out, or set null"),
        ({"low_percentile": 0.0}, "low_percentile: 0.0 has no effect with statistic minmax"),
        ({"sample": 10}, "sample: 10 has no effect with statistic minmax; leave it out, or set 100000 over it"),
        ({"momentum": 0.5}, "momentum: 0.5 has no effect with accumulation running; leave it out, or set 0.01"),
        ({"accumulation": "learned", "momentum": 0.5}, "momentum: 0.5 has no effect with .* learned without warmup"),
    ],
)
def test_an_observer_refuses_what_it_does_not_read(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        ObserverConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"statistic": "percentile", "percentile": 0.0, "low_percentile": 3.0, "sample": 10},
        {"accumulation": "momentum", "momentum": 0.5},
        {"accumulation": "learned", "momentum": 0.5, "warmup": 1},
        {"statistic": "minmax", "percentile": None, "momentum": 0.01},
    ],
)
def test_an_observer_takes_what_it_reads_and_its_defaults(settings):
    assert ObserverConfig(**settings)


@pytest.mark.parametrize(
    "setting",
    [
        {"weight_scales": "column"},
        {"activation_scales": "feature"},
        {"symmetric": True},
        {"gradient": "ste"},
        {"observer": ObserverConfig("percentile")},
        {"noise": NoiseConfig()},
        {"protection": ProtectionConfig()},
        {"overrides": [SiteOverride("*.weights", bits=32)]},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_fp32_refuses_every_setting_of_quantization(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: has no effect where everything is in FP32"):
        QuantScheme("fp32", **setting)
    assert QuantScheme("qat", 8, **setting).quantizes


def test_scales_a_column_are_refused_where_no_weight_has_bits():
    with pytest.raises(ValueError, match="weight_scales: column has no effect where weights are in FP32"):
        QuantScheme("features", 8, weight_bits=32, weight_scales="column")
    assert QuantScheme("last", 32, last_bits=8, weight_scales="column").quantizes
