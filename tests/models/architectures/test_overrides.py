"""Rules for single sites that change nothing are refused."""

from __future__ import annotations

import warnings

import pytest
import torch

from models.architectures import GAT, GCN, GIN
from models.architectures.overrides import check_overrides
from models.quantization.qconfig import ObserverConfig, SiteOverride

CURRENT = ObserverConfig("minmax", "momentum", momentum=1.0)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            [SiteOverride("convs.9.update", bits=4)],
            r"rule 1 \(convs.9.update\) matches no site .* did you mean convs\.",
        ),
        ([SiteOverride("*.wieghts", bits=4)], r"rule 1 \(\*\.wieghts\) matches no site"),
        ([SiteOverride("nothing", bits=4)], r"matches no site of this network; there are convs.0.inputs, "),
        (
            [SiteOverride("convs.0.weights")],
            r"rule 1 \(convs.0.weights\) changes nothing: give it bits, an observer or scales",
        ),
        (
            [SiteOverride("*.weights", observer=CURRENT), SiteOverride("*.weights", observer=ObserverConfig())],
            r"rule 2 \(\*\.weights\) changes nothing: rule 1 \(\*\.weights\) goes before it; put it in front",
        ),
        (
            [SiteOverride("convs.*", bits=4), SiteOverride("convs.1.weights", bits=2)],
            r"rule 2 \(convs.1.weights\) changes nothing: rule 1 \(convs\.\*\)",
        ),
        (
            [SiteOverride("convs.0.*", bits=4), SiteOverride("convs.1.*", bits=4), SiteOverride("convs.*", bits=2)],
            r"rule 3 \(convs\.\*\) changes nothing: rule 1 \(convs\.0\.\*\)",
        ),
    ],
)
def test_a_rule_that_changes_nothing_is_refused(rules, told, make_scheme):
    with pytest.raises(ValueError, match=told):
        check_overrides(GCN(4, 3, make_scheme("qat", 8)), rules)


@pytest.mark.parametrize(
    "rules",
    [
        [SiteOverride("*.weights", observer=CURRENT), SiteOverride("*.weights", bits=4)],
        [SiteOverride("convs.0.*", bits=4), SiteOverride("*", bits=6)],
        [SiteOverride("*.attention", bits=4)],
    ],
)
def test_a_rule_that_changes_a_site_or_is_for_a_role_is_accepted(rules, make_scheme):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_overrides(GCN(4, 3, make_scheme("qat", 8)), rules)


@pytest.mark.parametrize(("network", "kind"), [(GCN, "GIN"), (GAT, "GIN"), (GIN, "GAT")])
def test_a_rule_for_a_site_of_other_networks_is_named(network, kind, make_scheme):
    site = "convs.1.mlp.0.features" if kind == "GIN" else "convs.1.alpha"
    built = network(4, 3, make_scheme("qat", 8))
    state = torch.get_rng_state()
    with pytest.warns(UserWarning, match=f"is for sites of {kind}: it matches none of {network.__name__}"):
        check_overrides(built, [SiteOverride(site, bits=4)])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        (SiteOverride("convs.0.weights", observer=CURRENT), "refused"),
        (SiteOverride("convs.*.weights", observer=CURRENT), "refused"),
        (SiteOverride("*.weights", observer=CURRENT), "accepted"),
        (SiteOverride("convs.0.weights", bits=4, observer=CURRENT), "named"),
        (SiteOverride("convs.0.*", observer=CURRENT), "accepted"),
        (SiteOverride("*.weights", bits=4), "accepted"),
    ],
)
def test_an_observer_of_weights_with_a_scale_a_column_is_told(rule, outcome, make_scheme):
    network = GCN(4, 3, make_scheme("qat", 8, weight_scales="column"))
    told = r"rule 1 \(.*\): its observer does nothing: with weight_scales: column"
    if outcome == "refused":
        with pytest.raises(ValueError, match=told):
            check_overrides(network, [rule])
    elif outcome == "named":
        with pytest.warns(UserWarning, match=told):
            check_overrides(network, [rule])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_overrides(network, [rule])
    check_overrides(GCN(4, 3, make_scheme("qat", 8)), [rule])
