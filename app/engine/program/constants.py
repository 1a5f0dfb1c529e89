"""How the constants of a program are stored on disk: codes of few bits share bytes, everything is hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .check import CODE_DTYPES, ProgramError
from .grid import code_limits
from .records import read_fields

PACKED_BITS = 4
"""Codes of at most this many bits are stored two to a byte, the first in the low half."""

DTYPES: dict[str, np.dtype[Any]] = {
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "float32": np.dtype(np.float32),
}
MAX_SIZE = 2**31
RECORD = {"dtype": (str,), "shape": (list,), "bits": (int, type(None)), "sha256": (str,)}


def sha256(data: Any) -> str:
    """Returns the hex digest of bytes or of a contiguous array."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class StorageFormat:
    """How one constant is stored: its dtype, shape and bits (None: float32).

    Codes of at most PACKED_BITS are packed; the smallest code is stored as 0.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    bits: int | None

    @classmethod
    def of(cls, array: np.ndarray, bits: int | None) -> StorageFormat:
        """Returns the format of a constant of a valid program."""
        return cls(array.dtype, array.shape, bits)

    @classmethod
    def read(cls, where: str, entry: Any) -> StorageFormat:
        """Returns the format that a record of the manifest describes; error messages begin with `where`.

        Raises:
            ProgramError: if the record is malformed.
        """
        fields = read_fields(where, entry, RECORD)
        shape, bits = tuple(fields["shape"]), fields["bits"]
        if fields["dtype"] not in DTYPES:
            raise ProgramError(f"{where}: unknown dtype {fields['dtype']!r}")
        dtype = DTYPES[fields["dtype"]]
        if len(shape) not in (1, 2) or not all(type(size) is int and 0 < size < MAX_SIZE for size in shape):
            raise ProgramError(f"{where}: shape must be one or two positive sizes, got {fields['shape']!r}")
        if (bits is not None) != (dtype in CODE_DTYPES) or not 2 <= (bits or 2) <= 8:
            raise ProgramError(f"{where}: bits {bits!r} do not go with {dtype}")
        return cls(dtype, shape, bits)

    def record(self) -> dict[str, Any]:
        """Returns the entry of the manifest, without the hash."""
        return {"dtype": self.dtype.name, "shape": list(self.shape), "bits": self.bits}

    @property
    def _packed_bits(self) -> int | None:
        return self.bits if self.bits is not None and self.bits <= PACKED_BITS else None

    @property
    def stored_bytes(self) -> int:
        """Bytes that the constant takes in the file."""
        return (prod(self.shape) + 1) // 2 if self._packed_bits else prod(self.shape) * self.dtype.itemsize

    def pack(self, array: np.ndarray) -> np.ndarray:
        """Returns the array to store for a constant."""
        if self._packed_bits is None:
            return np.ascontiguousarray(array)
        offsets = (array.ravel().astype(np.int16) - self._smallest(self._packed_bits)).astype(np.uint8)
        offsets = np.append(offsets, np.zeros(offsets.size % 2, np.uint8))
        return offsets[0::2] | (offsets[1::2] << 4)

    def unpack(self, where: str, stored: np.ndarray, digest: str) -> np.ndarray:
        """Returns the constant for which `stored` was stored.

        Raises:
            ProgramError: if `stored` has another dtype, shape or hash.
        """
        expected = ("uint8", (self.stored_bytes,)) if self._packed_bits else (self.dtype.name, self.shape)
        if (stored.dtype.name, stored.shape) != expected:
            raise ProgramError(f"{where}: expected {expected}, the file has {stored.dtype} {stored.shape}")
        if sha256(stored) != digest:
            raise ProgramError(f"{where}: its content does not match its sha256")
        if self._packed_bits is None:
            return stored
        offsets = np.stack([stored & 15, stored >> 4], axis=1).ravel()[: prod(self.shape)]
        codes = offsets.astype(np.int16) + self._smallest(self._packed_bits)
        return codes.astype(self.dtype).reshape(self.shape)

    def _smallest(self, bits: int) -> int:
        return code_limits(bits, signed=CODE_DTYPES[self.dtype])[0]
