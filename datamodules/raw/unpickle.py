"""Reads pickles of published data sets without letting them run anything else."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from io import BytesIO
from math import prod
from typing import Any

import numpy as np

NUMBERS = re.compile(r"[|<>=]?([biuf][1248]|b1)")
"""Types of array elements that a pickle may have: no objects, no records."""


class ElementType:
    """What a pickle calls as `numpy.dtype`: keeps the type's code and byte order."""

    def __init__(self, code: object, *flags: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else str(code)
        if not NUMBERS.fullmatch(self.code):
            raise pickle.UnpicklingError(f"holds an array of {self.code[:20]!r}, expected numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        self.code = f"{order}{self.code.lstrip('|<>=')}"
        if not NUMBERS.fullmatch(self.code):
            raise pickle.UnpicklingError(f"holds an array of {self.code[:20]!r}, expected numbers")


class _Array(np.ndarray[Any, Any]):
    """What a pickle makes as `numpy.ndarray`: as large as its bytes are, of numbers."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, in_columns, content = state
        if not isinstance(kind, ElementType):
            raise pickle.UnpicklingError("holds an array without a type")
        data = content.encode("latin1") if isinstance(content, str) else content
        values = np.frombuffer(data, dtype=kind.code)
        if prod(shape) != values.size:
            raise pickle.UnpicklingError(f"holds an array of shape {shape} with {values.size} numbers")
        super().__setstate__((1, tuple(shape), values.dtype, bool(in_columns), values.tobytes()))  # type: ignore[arg-type]


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("makes something else of an array")
    empty: _Array = _Array((0,), "b")
    return empty


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"holds text in {encoding!r}")
    return text.encode("latin1")


_NDARRAY = "numpy.ndarray"

ARRAYS: Mapping[str, Any] = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.ndarray": _NDARRAY,
    "numpy.dtype": ElementType,
    "_codecs.encode": _encode,
}
"""What the pickle of a NumPy array calls, by full name; written under Python 2 or 3, NumPy 1 or 2.

NumPy's own functions trust a pickle: it can give an array more elements than bytes, or pointers for elements.
"""

FAULTS = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    RuntimeError,
    MemoryError,
    OverflowError,
)
"""What a damaged or hostile pickle makes Python raise."""


def unpickle(content: bytes, allowed: Mapping[str, Any]) -> Any:
    """Returns the object in a pickle that may use only the classes and functions in `allowed`, by full name.

    Raises:
        ValueError: if the pickle is cut, damaged, or names anything else.
    """
    try:
        return _Unpickler(content, allowed).load()
    except FAULTS as error:
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
