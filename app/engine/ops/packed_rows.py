"""Packed rows of codes of at most 4 bits: byte j of a row holds columns j (lower half) and j + W / 2 (upper half)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels import dispatch
from ..kernels.nibbles import NARROWEST
from ..program.model import Value


@dataclass(frozen=True)
class PackedRows:
    """Codes [N, W], kept as nibbles [N, W / 2] uint8."""

    nibbles: np.ndarray

    def __len__(self) -> int:
        return len(self.nibbles)

    @property
    def width(self) -> int:
        """W, the number of codes of a row."""
        return 2 * int(self.nibbles.shape[1])


def is_packed(value: Value) -> bool:
    """Returns whether stages keep a value packed: rows of nodes that are wide enough for kernels on packed rows."""
    small = value.grid is not None and value.grid.bits <= 4
    return small and value.domain == "node" and value.width % 2 == 0 and value.width >= 2 * NARROWEST


Allocate = Callable[[tuple[int, int], Any], np.ndarray]
"""allocate(shape, dtype) -> an array with unknown content."""


def unpacked(value: Any, allocate: Allocate = np.empty) -> Any:
    """Returns all codes of packed rows; returns other values as they are."""
    if not isinstance(value, PackedRows):
        return value
    out = allocate((len(value), value.width), np.uint8)
    dispatch.packing("unpack")(value.nibbles, out)
    return out


def packed(value: Any, allocate: Allocate = np.empty) -> PackedRows:
    """Returns codes [N, W] as packed rows; returns packed rows as they are."""
    if isinstance(value, PackedRows):
        return value
    nibbles = allocate((len(value), value.shape[1] // 2), np.uint8)
    dispatch.packing("pack")(value, nibbles)
    return PackedRows(nibbles)
