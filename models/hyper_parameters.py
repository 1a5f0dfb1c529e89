"""Arguments of a task as plain types, from which `load_from_checkpoint` builds it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import import_module
from typing import Any

INSTANTIATOR = "pytorch_lightning.cli.instantiate_module"
"""What builds a task from them: it makes objects of mappings, by the types of the arguments."""


class NotPlainError(TypeError):
    """An argument that no name stands for, such as a lambda."""


def hyper_parameters(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a task as numbers, strings, lists and mappings; classes by their path.

    Nothing, if one of them cannot be said so: then the task is built by hand, and its checkpoint loaded into that.
    """
    try:
        return {"_instantiator": INSTANTIATOR, **{name: plain(value) for name, value in arguments.items()}}
    except NotPlainError:
        return {}


def plain(value: Any) -> Any:
    """Returns a value as plain types: a dataclass as a mapping, a class or a partial of one as `class_path`.

    Raises:
        NotPlainError: if it is anything else.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    settings = value.keywords if isinstance(value, partial) else {}
    return {"class_path": path_of(class_of(value)), "init_args": plain(settings)}


def class_of(value: Any) -> Any:
    """Returns the class that is called: itself, that of a partial, or of what jsonargparse makes of a configuration."""
    if not isinstance(value, partial):
        return value
    made_by_jsonargparse = value.func.__module__.partition(".")[0] == "jsonargparse" and value.args
    if value.args and not made_by_jsonargparse:
        raise NotPlainError("arguments of a partial need names")
    return value.args[-1] if made_by_jsonargparse else value.func


def path_of(made: Any) -> str:
    """Returns the dotted path of a class.

    Raises:
        NotPlainError: if it is none, or cannot be imported by its path.
    """
    if not isinstance(made, type):
        raise NotPlainError(f"{made!r} is no class")
    module, name = made.__module__, made.__qualname__
    if getattr(import_module(module), name, None) is not made:
        raise NotPlainError(f"{name} cannot be imported")
    return f"{module}.{name}"
