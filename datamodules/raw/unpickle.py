"""Pickles of published data sets, without the power to run anything else that a pickle has."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from io import BytesIO
from typing import Any


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, allowed: Mapping[str, Any]) -> None:
        super().__init__(BytesIO(content), encoding="latin1")
        self.allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"names {module}.{name}, which this data set has no use for") from None


def unpickle(content: bytes, allowed: Mapping[str, Any]) -> Any:
    """The object in a pickle that may call only what `allowed` has, by full name.

    Raises:
        ValueError: if it is cut, damaged, or names anything else.
    """
    try:
        return _Unpickler(content, allowed).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{error}" or type(error).__name__) from error
