"""Keeps graphs that take long to build in files of plain tensors, written atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from app.engine.files import write_atomically
from datamodules.errors import DataError
from datamodules.storage import GraphStore


def cached(path: Path, make: Callable[[], GraphStore]) -> GraphStore:
    """Reads the store in `path`; if there is none or it is damaged, calls `make` and writes the result there.

    Raises:
        DataError: if the file cannot be written.
    """
    return read_store(path) or write_store(path, make())


def read_store(path: Path) -> GraphStore | None:
    """Reads the store in a file; None if there is no such file or it is damaged."""
    try:
        if not path.is_file():  # opening a pipe waits for its other end
            return None
        store = GraphStore(**load_file(path))
        return store if store.consistent() else None
    except (OSError, SafetensorError, TypeError, RuntimeError, ValueError, IndexError):
        return None


def write_store(path: Path, store: GraphStore) -> GraphStore:
    """Writes a store atomically, and returns it.

    Raises:
        DataError: if the file cannot be written.
    """
    write_cached(path, save(store.tensors()))
    return store


def write_cached(path: Path, content: bytes) -> None:
    """Writes a file of the cache atomically.

    Raises:
        DataError: if it cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}): name a folder by --data.cache or DEGREE_QUANT_CACHE"
        ) from error
