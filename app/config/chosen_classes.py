"""Which classes and names a configuration chooses, so that nothing of a class reaches another in its place.

jsonargparse keeps those arguments of a replaced class that the new one takes too, whatever they mean there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.config.layers import Layer, Place, class_at, find, last, last_class, layers_of
from app.errors import UserError
from models.imports import import_by_name, named_in

ARCHITECTURE, OWN_NETWORK = ("model", "architecture"), ("model", "network")

PLACES: tuple[Place, ...] = (("data",), ARCHITECTURE, ("model", "lr_scheduler"), ("model", "optimizer"))
"""Settings that are classes with arguments of their own. Tasks are not among them: they share their arguments."""

WORDS = {"model", "trainer.callbacks", "trainer.logger"} | {".".join(place) for place in PLACES}
"""Settings at which a word is a class."""


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
        return getattr(import_by_name(module, path), name, None)
    except ValueError:  # `check_classes` tells it
        return None


def check_classes(layers: Sequence[Layer]) -> None:
    """Imports every class that is named by its full path.

    Raises:
        ValueError: naming the setting, and what is missing: the module, a package that it needs, or the class in it.
    """
    for layer in layers:
        for setting, path in _class_paths(layer.settings):
            module, _, name = path.rpartition(".")
            if module:
                named_in(import_by_name(module, setting), name, setting)


def _class_paths(settings: Any, setting: str = "", key: str = "") -> Iterator[tuple[str, str]]:
    """Yields setting and path of every class: what stands at `class_path`, or as a word where classes do."""
    if isinstance(settings, list):
        for item in settings:
            yield from _class_paths(item, setting)
    elif isinstance(settings, Mapping):
        for name, value in settings.items():
            within = name in {"class_path", "init_args"}
            yield from _class_paths(value, setting if within else f"{setting}.{name}".lstrip("."), name)
    elif isinstance(settings, str) and (key == "class_path" or setting.removesuffix("+") in WORDS):
        yield setting, settings


def without_replaced_classes(layers: Sequence[Layer]) -> list[Layer]:
    """Returns layers that say the same, but in which a class that is replaced later leaves no arguments in a file."""
    result = list(layers)
    for place in PLACES:
        chosen = [(number, name) for number, layer in enumerate(layers) if (name := class_at(layer.settings, place))]
        for (_, old), (number, new) in pairwise(chosen):
            if takes_arguments_of(new, old):
                continue
            for earlier, layer in enumerate(result[:number]):
                if layer.file is not None and find(layer.settings, place) is not None:
                    result[earlier] = layer.without(place)
    return result if last(result, OWN_NETWORK) is None else _without_architecture(result)


def _without_architecture(layers: Sequence[Layer]) -> list[Layer]:
    """Returns layers without the architecture of files, which a network of one's own takes the place of.

    Raises:
        UserError: if a word of the command line says something of the architecture.
    """
    told = [find(layer.settings, ARCHITECTURE) is not None for layer in layers]
    if any(tells and layer.file is None for layer, tells in zip(layers, told, strict=True)):
        raise UserError("model.architecture: has no effect beside model.network; give model.network_args")
    kept = [layer.without(ARCHITECTURE) if tells else layer for layer, tells in zip(layers, told, strict=True)]
    return [*kept, Layer({"model": {"architecture": None}}, word="--model.architecture=null")]


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
        named = last(layers[first:], ("data", "name")) or name_of_pyg(layers[first:]) or name_of_path(layers[first:])
        scheme = last(layers, ("model", "scheme", "name"))
        network = _network_of(layers) or last_class(layers, ARCHITECTURE)
        return cls(data, _text(named), network, _text(scheme))

    def named(self, cell: Sequence[str], other: Identity) -> tuple[str, str, str]:
        """Returns the parts of a run's name: those of the cell, but for what differs in `other`."""
        dataset, network, scheme = cell
        if other.data and self.data and not takes_arguments_of(other.data, self.data):
            dataset = "-".join(filter(None, (other.data.rpartition(".")[2], other.data_name)))
        elif other.data_name != self.data_name:
            dataset = f"{dataset}-{other.data_name}"
        if other.network and self.network and not takes_arguments_of(other.network, self.network):
            network = short_name(other.network)
        if other.scheme != self.scheme:
            scheme = f"{scheme}-{other.scheme}"
        return dataset, network, scheme


def name_of_pyg(layers: Sequence[Layer]) -> str | None:
    """Returns class and name of the PyG data set that is chosen, such as `TUDataset-MUTAG`; None: there is none."""
    place = ("data", "dataset")
    kind, name = last_class(layers, place), last(layers, (*place, "name"))
    return "-".join(filter(None, (kind and short_name(kind), name and str(name)))) or None


def name_of_path(layers: Sequence[Layer]) -> str | None:
    """Returns the name of the file or folder that the data is in, without the ending of a file; None: there is none."""
    path = last(layers, ("data", "path"))
    return (Path(str(path)).resolve().name.removesuffix(".npz") or None) if path else None


def own_network(words: Sequence[str]) -> str | None:
    """Returns the short name of the network of one's own that words of the command line choose; None: there is none."""
    network = _network_of(layers_of(words))
    return short_name(network) if network else None


def _network_of(layers: Sequence[Layer]) -> str | None:
    """Returns the path of the network of one's own; None: there is none.

    Raises:
        UserError: if the setting is not a path, such as after `--model.network.hidden 32`.
    """
    network = last(layers, OWN_NETWORK)
    if network is None or isinstance(network, str):
        return network
    raise UserError(
        "model.network: expected the path of a class or function (module:Name); its arguments are model.network_args"
    )


def short_name(path: str) -> str:
    """Returns the last part of the path of a class or function."""
    return re.split("[.:]", path)[-1]


def _text(value: Any) -> str | None:
    """Returns a name as it can stand in a path."""
    return None if value is None else "".join(c if c.isalnum() or c in "._-" else "_" for c in str(value))
