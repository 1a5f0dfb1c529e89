"""Reads settings from YAML files, and compares resolved configurations."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from app.errors import UserError

FREE = {"data.root", "data.dataset.root", "data.cache", "data.processes", "data.num_workers", "trainer.accelerator",
        "trainer.default_root_dir", "trainer.enable_progress_bar", "trainer.logger.save_dir"}  # fmt: skip
"""Settings that do not change what is computed, so two calls of the same run may differ in them; see `is_free`."""

FREE_KEYS = {"default_root_dir", "enable_progress_bar"}
"""Those of them that differ from run to run and whose last parts nothing else is called, so that whole lines of text
may be left out of a comparison. A network of one's own may well have an argument called root."""

OWN_ARGUMENTS = "network_args"
"""Where the arguments of a network of one's own stand: their names are not ours."""

ADDED = {"export": True}
"""Settings that the configurations of older runs lack, and what held for these."""

ADDED_ANYWHERE = {"symmetric": False, "power_of_two": False, "warmup": 0, "roundings": "all", "inductive": False,
                  "parts_per_step": 1, "train_per_class": 20, "activation_scales": "tensor",
                  "attention_start": "joint"}  # fmt: skip
"""The same for settings of classes, which may stand in several places, by the last part of their names."""


class Loader(yaml.SafeLoader):
    """Reads YAML as people mean it: 1e-4 is a number, and of a key given twice neither value counts: it is refused."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Returns the pairs of a mapping. (Those that `<<` brings may be given once more: they come later.)"""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = key.tag, str(key.value)
            if name in seen and key.tag != MERGE:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(name)
        return node


MERGE = "tag:yaml.org,2002:merge"
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def read_yaml(path: Path, name: str, loader: type[yaml.SafeLoader] = Loader) -> dict[str, Any]:
    """Returns the mapping in a YAML file, which messages call `name`.

    Raises:
        UserError: if there is no such file, or it holds anything else.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), loader)
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{name}: not valid YAML: {line}{error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{name}: not a text file in UTF-8") from None
    except ValueError as error:  # of what looks like a date and is none
        raise UserError(f"{name}: not valid YAML: {error}; put a date in quotes") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: expected settings (`model: ...`), got {type(content).__name__}")
    return content


def value_of(text: str) -> Any:
    """Returns what a text of the command line means as YAML, or the text itself."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # ValueError: what looks like a date and is none
        return text


def differing_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns the settings in which two resolved configurations differ, as `key: old -> new`."""
    before, after = comparable(old), comparable(new)
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not is_free(key)
    ]


def first_of(differences: Sequence[str]) -> str:
    """Returns the first three of a list in words, as options name settings, and how many more there are."""
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "; ".join(differences[:3]).replace(".init_args", "") + more


def computing_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a resolved configuration that change what is computed, except the seed.

    Settings that are None are left out, as new ones are by default: configurations of older runs do not have them.
    """
    return {
        key: value
        for key, value in comparable(settings).items()
        if value is not None and not is_free(key) and key != "seed_everything"
    }


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Returns a hash of `computing_settings`, the same for a run of any version."""
    told = {key: value for key, value in settings.items() if ADDED.get(key) != value}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]


def is_free(key: str) -> bool:
    """Whether a setting, with or without `init_args` and places in lists in its dotted name, changes no computation."""
    return ".".join(part for part in key.split(".") if part != "init_args" and not part.isdecimal()) in FREE


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the single settings of a resolved configuration, as they would stand in one of any version."""
    return ADDED | {
        key: value
        for key, value in leaves(settings)
        if value is None or OWN_ARGUMENTS in key.split(".") or ADDED_ANYWHERE.get(key.rsplit(".", 1)[-1]) != value
    }


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every single setting of a nested configuration with its dotted name."""
    if isinstance(node, (dict, list)) and node:
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, node
