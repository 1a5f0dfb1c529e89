"""Graphs that were expensive to make, kept on disk: plain tensors, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from app.engine.files import write_atomically
from datamodules.base import DataError
from datamodules.storage import GraphStore


def cached(path: Path, make: Callable[[], GraphStore]) -> GraphStore:
    """The store in `path`; where there is none, or a damaged one, what `make` returns, after it was written there.

    Raises:
        DataError: if the file cannot be written.
    """
    return read_store(path) or write_store(path, make())


def read_store(path: Path) -> GraphStore | None:
    """The store in a file, None if there is none or it is damaged."""
    try:
        return GraphStore(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        return None


def write_store(path: Path, store: GraphStore) -> GraphStore:
    """Writes a store, whole or not at all, and returns it.

    Raises:
        DataError: if the file cannot be written.
    """
    try:
        write_atomically(path, save(store.tensors()))
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}): name a folder by --data.cache or DEGREE_QUANT_CACHE"
        ) from error
    return store
