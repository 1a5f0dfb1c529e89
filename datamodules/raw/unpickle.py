"""Reads pickles of published data sets without letting them run anything else."""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

ARRAYS: Mapping[str, Any] = {
    "numpy.core.multiarray._reconstruct": np.zeros(0).__reduce__()[0],
    "numpy._core.multiarray._reconstruct": np.zeros(0).__reduce__()[0],
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "_codecs.encode": codecs.encode,
}
"""What the pickle of a NumPy array calls, by full name; written under Python 2 or 3, NumPy 1 or 2."""


def unpickle(content: bytes, allowed: Mapping[str, Any]) -> Any:
    """Returns the object in a pickle that may use only the classes and functions in `allowed`, by full name.

    Raises:
        ValueError: if the pickle is cut, damaged, or names anything else.
    """
    try:
        return _Unpickler(content, allowed).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{error}" or type(error).__name__) from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, allowed: Mapping[str, Any]) -> None:
        super().__init__(BytesIO(content), encoding="latin1")
        self.allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"names {module}.{name}, which this data set has no use for") from None
