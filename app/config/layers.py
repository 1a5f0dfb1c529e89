"""The layers of a configuration: settings of files and of words of the command line, later ones over earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from app.cli.words import parse
from app.config.settings import read_yaml, value_of

Place = tuple[str, ...]
"""Where a setting is: ("model", "scheme", "bits"); a last part with a `+` is what is added to a list."""


@dataclass(frozen=True)
class Layer:
    """Settings of one file (`file`), or of one word of the command line (`word`).

    `changed`: whether they are others than the file or the word has.
    """

    settings: dict[str, Any]
    file: Path | None = None
    word: str = ""
    changed: bool = False

    def without(self, place: Place) -> Layer:
        """Returns the layer without what stands at a place."""
        return replace(self, settings=_without(self.settings, place), changed=True)


def layers_of(words: Sequence[str]) -> list[Layer]:
    """Returns what the words of a command line set, one after the other."""
    layers: list[Layer] = []
    for word in parse(words):
        value = word.value or ""
        if word.name == "--config":
            layers.append(Layer(expanded(read_yaml(Path(value), value)), Path(value)))
        else:
            settings = nested(word.key, value_of(value)) if word.is_option else {}
            # The parser takes null for a setting within settings in a file only.
            in_file = word.value is not None and value_of(value) is None and word.key.count(".") > 1
            layers.append(Layer(settings, word=str(word), changed=in_file))
    return layers


def words_of(layers: Sequence[Layer], folder: Path) -> list[str]:
    """Returns layers as words of the command line; files with those that were changed go into `folder`."""
    words = []
    for number, layer in enumerate(layers):
        file = layer.file
        if layer.changed:
            file = folder / f"{number}.yaml"
            file.write_text(yaml.safe_dump(layer.settings, sort_keys=False))
        words.append(layer.word if file is None else f"--config={file}")
    return words


def nested(key: str, value: Any) -> dict[str, Any]:
    """Returns `{"a": {"b": value}}` for the key `a.b`."""
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


def expanded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a file with its dotted names (`model.lr: 0.1`) taken apart."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        _merge(result, nested(str(key), value))
    return result


def _merge(into: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            into[key] = dict(into[key])
            _merge(into[key], value)
        else:
            into[key] = value


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


def with_replaced(layers: Sequence[Layer], place: Place, change: Callable[[Any], Any]) -> list[Layer]:
    """Returns layers in which what stands at a place is what `change` makes of it."""
    result = []
    for layer in layers:
        old = find(layer.settings, place)
        new = change(old)
        settings = _with(layer.settings, place, new) if new != old else layer.settings
        result.append(replace(layer, settings=settings, changed=layer.changed or new != old))
    return result


def last(layers: Sequence[Layer], place: Place) -> Any:
    """Returns the last value at a place of settings."""
    values = [value for layer in layers if (value := find(layer.settings, place)) is not None]
    return values[-1] if values else None


def last_class(layers: Sequence[Layer], place: Place) -> str | None:
    """Returns the last class chosen at a place."""
    classes = [name for layer in layers if (name := class_at(layer.settings, place)) is not None]
    return classes[-1] if classes else None


def _with(settings: Mapping[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """Returns settings with another value at a place that they have."""
    key, *rest = place
    if key not in settings:
        return {**settings, "init_args": _with(settings["init_args"], place, value)}
    return {**settings, key: _with(settings[key], tuple(rest), value) if rest else value}


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
