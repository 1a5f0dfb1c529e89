"""Which classes and names a configuration chooses, so that nothing of a class reaches another in its place.

jsonargparse keeps those arguments of a replaced class that the new one takes too, whatever they mean there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from app.cli.words import parse
from app.config.settings import read_yaml, value_of

Place = tuple[str, ...]

PLACES: tuple[Place, ...] = (("data",), ("model", "architecture"), ("model", "lr_scheduler"), ("model", "optimizer"))
"""Settings that are classes with arguments of their own. Tasks are not among them: they share their arguments."""


@dataclass(frozen=True)
class Layer:
    """Settings of one file (`file`), or of one word of the command line."""

    settings: dict[str, Any]
    file: Path | None = None


def layers_of(words: Sequence[str]) -> list[Layer]:
    """Returns what the words of a command line set, one after the other."""
    layers: list[Layer] = []
    for word in parse(words):
        value = word.value or ""
        if word.name == "--config":
            layers.append(Layer(read_yaml(Path(value), value), Path(value)))
        elif word.is_option:
            layers.append(Layer(_nested(word.key.split("."), value_of(value))))
    return layers


def _nested(keys: Sequence[str], value: Any) -> dict[str, Any]:
    return {keys[0]: value if len(keys) == 1 else _nested(keys[1:], value)}


def find(settings: Any, place: Place) -> Any:
    """Returns what stands at a place, with or without `init_args` on the way; None if nothing does."""
    for key in place:
        if not isinstance(settings, Mapping):
            return None
        inner = settings.get("init_args")
        settings = settings[key] if key in settings else inner.get(key) if isinstance(inner, Mapping) else None
    return settings


def class_at(settings: Any, place: Place) -> str | None:
    """Returns the class that is chosen at a place, as it is written."""
    node = find(settings, place)
    chosen = node.get("class_path") if isinstance(node, Mapping) else node
    return chosen if isinstance(chosen, str) else None


def last(layers: Sequence[Layer], place: Place) -> Any:
    """Returns the last value at a place of settings."""
    values = [value for layer in layers if (value := find(layer.settings, place)) is not None]
    return values[-1] if values else None


def last_class(layers: Sequence[Layer], place: Place) -> str | None:
    """Returns the last class chosen at a place."""
    classes = [name for layer in layers if (name := class_at(layer.settings, place)) is not None]
    return classes[-1] if classes else None


def takes_arguments_of(new: str, old: str) -> bool:
    """Whether arguments of the class `old` mean the same for `new`: it is the same class, or derived from it."""
    if "." not in new or "." not in old:  # a short name, which jsonargparse looks up
        return new.rpartition(".")[2] == old.rpartition(".")[2]
    one, other = _load(new), _load(old)
    if isinstance(one, type) and isinstance(other, type):
        return issubclass(one, other)
    return new == old


@cache
def _load(path: str) -> object:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def without_replaced_classes(words: Sequence[str], folder: Path) -> list[str]:
    """Returns words that say the same, but in which a class that is replaced later leaves no arguments behind.

    Args:
        words: of the command line, `--config FILE` among them.
        folder: for copies of the files that have to change.
    """
    layers = layers_of(words)
    copies: dict[int, dict[str, Any]] = {}
    for place in PLACES:
        chosen = [(number, name) for number, layer in enumerate(layers) if (name := class_at(layer.settings, place))]
        for (_, old), (number, new) in pairwise(chosen):
            if takes_arguments_of(new, old):
                continue
            for earlier, layer in enumerate(layers[:number]):
                if layer.file is not None and find(layer.settings, place) is not None:
                    copies[earlier] = _without(copies.get(earlier, layer.settings), place)
    paths = {}
    for number, settings in copies.items():
        paths[number] = folder / f"{number}.yaml"
        paths[number].write_text(yaml.safe_dump(settings, sort_keys=False))
    files = iter([paths.get(number, layer.file) for number, layer in enumerate(layers) if layer.file is not None])
    return [f"--config={next(files)}" if word.name == "--config" else str(word) for word in parse(words)]


def _without(settings: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Returns settings without what stands at a place."""
    key, *rest = place
    copied = dict(settings)
    if key in copied:
        if not rest:
            del copied[key]
        elif isinstance(copied[key], Mapping):
            copied[key] = _without(copied[key], tuple(rest))
    elif isinstance(copied.get("init_args"), Mapping):
        copied["init_args"] = _without(copied["init_args"], place)
    return copied


@dataclass(frozen=True)
class Identity:
    """What the name of a run says: class and name of the data, class of the network, name of the scheme."""

    data: str | None
    data_name: str | None
    network: str | None
    scheme: str | None

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> Identity:
        """Returns the identity of settings; later layers go before earlier ones."""
        data, first = last_class(layers, ("data",)), 0
        for number, layer in enumerate(layers):  # a name is one of the class that is chosen last
            if (name := class_at(layer.settings, ("data",))) and data and not takes_arguments_of(data, name):
                first = number + 1
        named = last(layers[first:], ("data", "name"))
        scheme = last(layers, ("model", "scheme", "name"))
        return cls(data, _text(named), last_class(layers, ("model", "architecture")), _text(scheme))

    def named(self, cell: Sequence[str], other: Identity) -> tuple[str, str, str]:
        """Returns the parts of a run's name: those of the cell, but for what differs in `other`."""
        dataset, network, scheme = cell
        if other.data and self.data and not takes_arguments_of(other.data, self.data):
            dataset = "-".join(filter(None, (other.data.rpartition(".")[2], other.data_name)))
        elif other.data_name != self.data_name:
            dataset = f"{dataset}-{other.data_name}"
        if other.network and self.network and not takes_arguments_of(other.network, self.network):
            network = other.network.rpartition(".")[2]
        if other.scheme != self.scheme:
            scheme = f"{scheme}-{other.scheme}"
        return dataset, network, scheme


def _text(value: Any) -> str | None:
    """Returns a name as it can stand in a path."""
    return None if value is None else "".join(c if c.isalnum() or c in "._-" else "_" for c in str(value))
