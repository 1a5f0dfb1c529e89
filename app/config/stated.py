"""What config files and words of the command line state, compared with the settings that a run has.

Unlike in `app.config.lightning_cli` nothing is built for it, so a report can compare thousands of runs. What no file
and no word names has its default, and is not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from app.config.layers import layers_of
from app.config.settings import ADDED_ANYWHERE, is_free, leaves

CLASS, ARGUMENTS = "class_path", "init_args"


def stated(words: Sequence[str]) -> dict[str, Any]:
    """Returns the single settings that words of the command line state, with `--config FILE` among them, by name.

    Those that do not change what is computed, and the seed, are left out.
    """
    settings: Any = reduce(_overlaid, (layer.settings for layer in layers_of(words)), {})
    return {
        key: value
        for key, value in leaves(settings)
        if value is not None and not is_free(key) and key != "seed_everything"
    }


def contradictions(said: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Yields in what the settings of a run are others than `stated`: `trainer.max_epochs is 2 instead of 99`.

    Args:
        settings: as `comparable` or `computing_settings` return them. What an older run lacks is as stated.
    """
    known = {key.replace(f".{ARGUMENTS}", ""): value for key, value in settings.items()}
    for key, value in said.items():
        had = known.get(key, known.get(f"{key}.{CLASS}", ADDED_ANYWHERE.get(key.rpartition(".")[2])))
        unset = any(known.get(place, "") is None for place in (key, *_around(key)))
        if unset or (had is not None and not _means(value, had)):
            yield f"{key} is {had} instead of {value}"


def _around(key: str) -> Iterator[str]:
    """Yields the names of the settings that one stands in."""
    while key := key.rpartition(".")[0]:
        yield key


def _means(value: Any, had: Any) -> bool:
    """Whether a value is that of a resolved configuration, which has numbers for texts and full paths of classes."""
    if isinstance(value, str) and isinstance(had, str):
        one, other = (re.sub(r"\bseed=\w+", "seed=K", text) for text in (value, had))
        return one == other or other.endswith(f".{one}") or one.endswith(f".{other}")
    if isinstance(value, str) and isinstance(had, int | float):
        try:
            return float(value) == had
        except ValueError:
            return False
    return bool(value == had)


def _overlaid(old: Any, new: Any) -> Any:
    """Returns a setting with a later one on top of it; arguments of a class stand beside its path."""
    if isinstance(new, str) and isinstance(old, dict) and CLASS in old:
        new = {CLASS: new}
    if isinstance(new, list):
        return [_overlaid(None, item) for item in new]
    if not isinstance(new, Mapping):
        return new
    if isinstance(old, list):  # arguments behind `--trainer.callbacks+=X` are those of the last one
        return [*old[:-1], *(_overlaid(item, new) for item in old[-1:])]
    new = {key: value for key, value in new.items() if key != ARGUMENTS} | dict(new.get(ARGUMENTS) or {})
    before = {CLASS: old} if isinstance(old, str) else old if isinstance(old, dict) else {}
    replaced = CLASS in new and not _means(new[CLASS], before.get(CLASS))
    result: dict[str, Any] = {} if replaced else dict(before)
    for key, value in new.items():
        if key.endswith("+"):
            there, added = result.get(key[:-1]) or [], _overlaid(None, value if isinstance(value, list) else [value])
            # rules for single sites go in front (`app.config.site_rules`)
            result[key[:-1]] = [*added, *there] if key == "overrides+" else [*there, *added]
        else:
            result[key] = _overlaid(result.get(key), value)
    return result
