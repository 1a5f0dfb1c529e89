"""The list of rules for single sites (`model.scheme.overrides`) on the command line.

The first rule that matches decides, and schemes have rules of their own (Degree-Quant: for weights). So
`--model.scheme.overrides+` puts rules in front of those of the scheme; without the `+` a list takes their place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from app.cli.words import parse
from app.config.settings import read_yaml, value_of
from models.architectures.overrides import SETTINGS
from models.quantization.qconfig import SiteOverride

NAME = "model.scheme.overrides"
LISTS = {f"--{NAME}", "--model.init_args.scheme.overrides"}
NAMES = {f"{name}+" for name in LISTS}

Rules = list[dict[str, Any]]


def take_out(words: Sequence[str]) -> tuple[list[str], Rules]:
    """Returns the words without `--model.scheme.overrides+`, and the rules given there, the last one first.

    A value that is neither a rule nor a list of rules stays with the words, for the parser to refuse.
    """
    left: list[str] = []
    rules: Rules = []
    for word in parse(words):
        found = _rules(word.value) if word.name in NAMES and word.value is not None else None
        if found is None:
            left.append(str(word))
        else:
            rules = [*found, *rules]
    return left, rules


def _rules(text: str) -> Rules | None:
    value = value_of(text)
    value = value if isinstance(value, list) else [value]
    return value if all(isinstance(rule, dict) for rule in value) else None


def with_fresh_lists(words: Sequence[str]) -> list[str]:
    """Returns the words with an empty list before every list of rules that takes the place of another.

    The parser would fill the gaps of a rule from the one at the same place of the list before, if both are as long.
    """
    result: list[str] = []
    before = False
    for word in parse(words):
        file = word.value or ""
        if word.name in LISTS or (word.name == "--config" and rules_of(read_yaml(Path(file), file))):
            result += [f"--{NAME}=[]"] if before else []
            before = True
        result.append(str(word))
    return result


def rules_of(settings: Any) -> Rules:
    """Returns the rules in a configuration; none where it has no scheme."""
    for key in ("model", "init_args", "scheme", "overrides"):
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return list(settings) if settings else []


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
            f"{NAME} takes the place of the scheme's own rules for {', '.join(lost)}; --{NAME}+ would keep them",
            stacklevel=2,
        )
