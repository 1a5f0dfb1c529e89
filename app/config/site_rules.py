"""Lists in a configuration: rules for single sites (`model.scheme.overrides`), and lists of classes.

The first rule that matches decides, and schemes have rules of their own (Degree-Quant: for weights). So
`model.scheme.overrides+`, as a word or in a file, puts rules in front of those of the scheme; without the `+` a list
takes their place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from app.config.layers import Layer, Place, find
from models.architectures.overrides import SETTINGS, WHERE, is_of_a_role
from models.layers import Transition
from models.quantization.control import quantizers
from models.quantization.fake_quantize import Site
from models.quantization.qconfig import SiteOverride
from models.tasks import GraphTask

RULES: Place = ("model", "scheme", "overrides")
ADDED: Place = ("model", "scheme", "overrides+")
LISTS: tuple[Place, ...] = (RULES, ("trainer", "callbacks"), ("trainer", "plugins"), ("trainer", "logger"))
"""Settings that are lists of settings."""

Rules = list[dict[str, Any]]


def take_out(layers: Sequence[Layer]) -> tuple[list[Layer], Rules]:
    """Returns the layers without `model.scheme.overrides+`, and the rules given there, those of the last layer first.

    A value that is neither a rule nor a list of rules stays, for the parser to refuse.
    """
    left: list[Layer] = []
    rules: Rules = []
    for layer in layers:
        found = find(layer.settings, ADDED)
        added = found if isinstance(found, list) else [found]
        if not all(isinstance(rule, dict) for rule in added):
            left.append(layer)
            continue
        rules = [*added, *rules]
        left.append(layer.without(ADDED))
    return left, rules


def with_fresh_lists(layers: Sequence[Layer]) -> list[Layer]:
    """Returns the layers with an empty list before every list that takes the place of another.

    The parser would fill the gaps of an item from the one at the same place of the list before, if both are as long.
    """
    result: list[Layer] = []
    before: set[Place] = set()
    for layer in layers:
        given = {place for place in LISTS if _takes_the_place(find(layer.settings, place))}
        result += [Layer({}, word=f"--{'.'.join(place)}=[]") for place in LISTS if place in given & before]
        before |= given
        result.append(layer)
    return result


def _takes_the_place(value: Any) -> bool:
    """Whether a value is a list, or an item in place of one; not settings of the last item (`callbacks.monitor`)."""
    return bool(value) and not (isinstance(value, dict) and "class_path" not in value)


def tell_kept(layers: Sequence[Layer]) -> None:
    """Warns if settings of a scheme with a name of its own leave some of the scheme before as they are.

    A name by itself only names runs; with other settings beside it, one may have meant a scheme from its defaults on.
    """
    before: dict[str, Any] = {}
    for layer in layers:
        given = find(layer.settings, RULES[:-1])
        if not isinstance(given, dict):
            continue
        kept = sorted(before.keys() - given.keys() - {"name"})
        if len(given) > 1 and kept and given.get("name", before.get("name")) != before.get("name"):
            warnings.warn(
                f"model.scheme: {given['name']} keeps {', '.join(kept)} of {before.get('name')}; "
                "give them too (noise or protection: null for none) if it should not",
                stacklevel=2,
            )
        before |= given


def tell_replaced(of_files: Rules, rules: Iterable[SiteOverride], sites: Iterable[str]) -> None:
    """Warns if a list took the place of rules of the scheme which matched sites of the network.

    Args:
        of_files: the rules that the configs have.
        rules: those of the run.
        sites: the names of all sites.
    """
    names = list(sites)
    kept = {(rule.site, key) for rule in rules for key in SETTINGS if getattr(rule, key) is not None}
    lost = [
        rule["site"]
        for rule in of_files
        if not kept.issuperset((rule["site"], key) for key in SETTINGS if rule.get(key) is not None)
        and any(fnmatchcase(name, rule["site"]) for name in names)
    ]
    if lost:
        warnings.warn(
            f"{WHERE} takes the place of the scheme's own rules for {', '.join(lost)}; --{WHERE}+ would keep them",
            stacklevel=2,
        )


def tell_without_sites(words: Iterable[Layer], sites: Iterable[str]) -> None:
    """Warns if a rule of the command line is for a role, such as `*.attention`, that no site of the network has.

    Files may have rules for the roles of all networks.
    """
    names = list(sites)
    for layer in words:
        for place in (RULES, ADDED):
            given = find(layer.settings, place) or []
            for rule in given if isinstance(given, list) else [given]:
                if is_of_a_role(rule["site"]) and not any(fnmatchcase(name, rule["site"]) for name in names):
                    warnings.warn(f"{WHERE}: {rule['site']} matches no site of this network", stacklevel=2)


def tell_without_effect(words: Iterable[Layer], task: GraphTask) -> None:
    """Warns of what words of the command line say of residual sums and of roundings where the network has none.

    Files may say it for all networks, as `best_int4` does; and the words are those of the FP32 run as well that another
    run begins with.
    """
    sites = [module for module in task.modules() if isinstance(module, Site)]
    transitions = [module for module in task.network.modules() if isinstance(module, Transition)]
    no_sums = "this network has no residual sums"
    without: dict[Place, str] = {}
    if not any(site.part == "skip" for site in sites):
        without["model", "scheme", "skip_bits"] = no_sums
    if not any(transition.residual is not None for transition in transitions):
        without["model", "architecture", "residual"] = f"{no_sums}: they need hidden layers that read rows as wide"
    if next(quantizers(task.network), None) is None:
        without["model", "architecture", "roundings"] = "everything is in FP32"
        without["model", "architecture", "readout", "roundings"] = "everything is in FP32"
    given = list(words)
    for place, why in without.items():
        said = [value for layer in given if (value := find(layer.settings, place)) is not None]
        if said and said[-1] not in (False, "all"):  # which ask for nothing
            warnings.warn(f"{'.'.join(place)}: has no effect, {why}", stacklevel=2)
