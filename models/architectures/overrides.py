"""Checks that every rule for single sites (`QuantScheme.overrides`) does something in the network it is given to."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

import torch
from torch import nn

from models.architectures.base import Architecture
from models.quantization.fake_quantize import Site
from models.quantization.qconfig import QuantScheme, SiteOverride
from models.quantization.scales.columns import ColumnScales
from models.quantization.scales.features import FeatureScales
from models.quantization.sites import ROLES

WHERE = "model.scheme.overrides"
SETTINGS = ("bits", "observer", "scales")


def check_scheme(network: nn.Module, scheme: QuantScheme) -> None:
    """Refuses rules for single sites, and scales a feature, that change nothing in a network.

    Raises:
        ValueError: see `check_overrides`; or for scales a feature where no site can have one.
    """
    check_overrides(network, scheme.overrides)
    asked = scheme.quantizes and scheme.activation_scales == "feature"
    if asked and not any(isinstance(module, FeatureScales) for module in network.modules()):
        raise ValueError(
            "model.scheme.activation_scales: feature changes nothing here: only what a BatchNorm before an activation "
            "reads, and with roundings: needed what convolutions of GCN and GAT send, can have a scale a feature"
        )


def check_overrides(network: nn.Module, overrides: Sequence[SiteOverride]) -> None:
    """Refuses rules that change nothing in a network.

    A rule for a role, such as `*.attention`, is for all networks: it may match no site, or give an observer to weights
    that all have a scale a column and so track no range. A rule for a site that other networks of these sizes have may
    match none here; a warning names it.

    Raises:
        ValueError: for a rule without a setting, that matches no site, that comes behind rules
            which have its settings at all of its sites, or whose observer is for weights with a scale a column only.
    """
    columns = {module.name for module in network.modules() if isinstance(module, ColumnScales)}
    features = {module.name for module in network.modules() if isinstance(module, FeatureScales)}
    sites = site_names(network)
    before: dict[tuple[str, str], int] = {}  # (site, setting) -> number of the rule that decides it
    for number, rule in enumerate(overrides, 1):
        told = f"{WHERE}: rule {number} ({rule.site})"
        settings = [setting for setting in SETTINGS if getattr(rule, setting) is not None]
        if not settings:
            raise ValueError(f"{told} changes nothing: give it bits, an observer or scales")
        matching = [name for name in sites if fnmatchcase(name, rule.site)]
        if not matching:
            if not is_of_a_role(rule.site):
                check_is_of_another_network(network, rule.site, told, sites)
            continue
        if rule.observer is not None and columns.issuperset(matching) and not is_of_a_role(rule.site):
            tell_observer_of_columns(told, rule)
        if rule.scales == "feature" and features.isdisjoint(matching):
            raise ValueError(
                f"{told}: no site of this network can have a scale a feature: none is read feature by feature"
            )
        places = [(name, setting) for name in matching for setting in settings]
        if all(place in before for place in places):
            first = before[places[0]]
            raise ValueError(
                f"{told} changes nothing: rule {first} ({overrides[first - 1].site}) goes before it; "
                f"put it in front, as {WHERE}+ does, or leave it out"
            )
        for place in places:
            before.setdefault(place, number)


def tell_observer_of_columns(told: str, rule: SiteOverride) -> None:
    """Warns, or raises ValueError, that the observer of a rule is for weights that track no range."""
    sentence = f"{told}: its observer does nothing: with weight_scales: column, weights take their largest magnitudes"
    if rule.bits is None:
        raise ValueError(f"{sentence}; leave the rule out")
    warnings.warn(sentence, stacklevel=3)


def is_of_a_role(pattern: str) -> bool:
    """Whether a glob is that of a role in all layers, such as `*.weights`."""
    return pattern.startswith("*.") and pattern.removeprefix("*.") in ROLES


def check_is_of_another_network(network: nn.Module, pattern: str, told: str, sites: Sequence[str]) -> None:
    """Warns of a glob that matches sites of other networks only; raises ValueError if it matches none of those."""
    for kind, names in sites_of_others(network):
        if any(fnmatchcase(name, pattern) for name in names):
            warnings.warn(f"{told} is for sites of {kind}: it matches none of {type(network).__name__}", stacklevel=2)
            return
    close = get_close_matches(pattern, sites, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sites[:4])}, ..."
    raise ValueError(f"{told} matches no site of this network; {hint}")


def sites_of_others(network: nn.Module) -> Iterable[tuple[str, list[str]]]:
    """Yields the name and the sites of every other kind of network, in the sizes of this one."""
    if not isinstance(network, Architecture):
        return
    for kind in Architecture.__subclasses__():
        if not isinstance(network, kind):
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                try:
                    other = kind(network.in_features, network.out_features, **network.sizes)
                except (TypeError, ValueError):  # a user's network may take other arguments
                    continue
            yield kind.__name__, site_names(other)


def site_names(network: nn.Module) -> list[str]:
    """Returns the names of all sites of a network, in the order of its layers."""
    return [module.name for module in network.modules() if isinstance(module, Site)]
