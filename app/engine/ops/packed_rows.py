"""Rows of codes of at most 4 bits, two to a byte: byte j holds columns j (lower half) and j + W / 2."""

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
    """Codes [N, W] in memory: nibbles [N, W / 2] uint8."""

    nibbles: np.ndarray

    def __len__(self) -> int:
        return len(self.nibbles)

    @property
    def width(self) -> int:
        """W."""
        return 2 * self.nibbles.shape[1]


def is_packed(value: Value) -> bool:
    """Whether what a stage keeps of a value is packed: rows of nodes that vectors of nibbles can read."""
    small = value.grid is not None and value.grid.bits <= 4
    return small and value.domain == "node" and value.width % 2 == 0 and value.width >= 2 * NARROWEST


Empty = Callable[[tuple[int, int], Any], np.ndarray]


def unpacked(value: Any, empty: Empty = np.empty) -> Any:
    """All codes of packed rows; anything else as it is."""
    if not isinstance(value, PackedRows):
        return value
    out = empty((len(value), value.width), np.uint8)
    dispatch.nibbles("unpack")(value.nibbles, out)
    return out


def packed(value: Any, empty: Empty = np.empty) -> PackedRows:
    """Packed rows of codes [N, W], or packed rows as they are."""
    if isinstance(value, PackedRows):
        return value
    nibbles = empty((len(value), value.shape[1] // 2), np.uint8)
    dispatch.nibbles("pack")(value, nibbles)
    return PackedRows(nibbles)
