"""Imports what a user names, from the working directory too, and says in one sentence why it cannot."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType


def import_by_name(name: str, setting: str) -> ModuleType:
    """Returns the module of a name.

    Args:
        setting: what names it, for messages.

    Raises:
        ValueError: if there is no such module, if it needs one that is not installed, or if it fails while imported.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # behind all others: no file there takes the place of a package
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if name == missing or name.startswith(f"{missing}."):
            where = f"in {os.getcwd()}, on PYTHONPATH or among the packages of {sys.executable}"
            raise ValueError(f"{setting}: there is no module {missing} {where}") from None
        raise ValueError(f"{setting}: {name} needs the package {missing}, which {sys.executable} lacks") from None
    except SystemExit as error:
        raise ValueError(
            f"{setting}: {name} ends the process while imported; put what it runs below `if __name__ == '__main__':`"
        ) from error
    except Exception as error:
        raise ValueError(f"{setting}: {name} fails while imported: {type(error).__name__}: {error}") from error


def named_in(module: ModuleType, name: str, setting: str) -> object:
    """Returns what has a name in a module.

    Raises:
        ValueError: if nothing has.
    """
    try:
        return getattr(module, name)
    except AttributeError:
        close = get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"{setting}: {module.__name__} ({module.__file__}) has no {name}{hint}") from None
