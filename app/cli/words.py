"""The words of a command line that set something: `--key value` or `--key=value`, and settings as such words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Word(NamedTuple):
    """An option with its value, or a word that is no option.

    Attributes:
        name: `--model.lr`, as it was given; with a `+` at its end, the value is added to a list.
        value: its text; None if none was given.
    """

    name: str
    value: str | None

    def __str__(self) -> str:
        """Returns it in one word."""
        return self.name if self.value is None else f"{self.name}={self.value}"

    @property
    def is_option(self) -> bool:
        """Whether it names something, instead of being a word that nothing takes."""
        return self.name.startswith("--")

    @property
    def key(self) -> str:
        """The name of the setting: `model.lr`."""
        return self.name.removeprefix("--")

    @property
    def section(self) -> str:
        """The first part of the name: `model`."""
        return self.key.removesuffix("+").split(".")[0]


def parse(words: Sequence[str]) -> list[Word]:
    """Takes words apart: an option without `=` takes the word behind it, unless that is an option too."""
    result: list[Word] = []
    waiting = list(words)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if not name.startswith("--"):
            result.append(Word(name + equals + value, None))
        elif equals:
            result.append(Word(name, value))
        else:
            follows = bool(waiting) and not waiting[0].startswith("--")
            result.append(Word(name, waiting.pop(0) if follows else None))
    return result


def take_out(words: Sequence[str], sections: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the words that set something in one of the sections, with their values, and all others."""
    taken: list[str] = []
    others: list[str] = []
    follows = False
    for word in words:
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            chosen = taken if Word(name, None).section in sections else others
            follows = chosen is taken and not equals
            chosen.append(word)
        else:
            (taken if follows else others).append(word)
            follows = False
    return taken, others


def words_of(options: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    """Returns what goes on top of the settings of a run or a cell, as words of the command line."""
    return [*(word for path in options.config for word in ("--config", path)), *overrides]


def as_words(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns settings as words of the command line: `{"model.lr": 0.1}` becomes `--model.lr=0.1`."""
    return tuple(f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items())
