"""Reads one graph from a file: `.npz` as `numpy.savez` writes arrays, `.pt` as `torch.save` writes tensors.

Features may be in a file of their own beside it, which stays there: see `rows_beside`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch_geometric.data import Data

from datamodules.errors import DataError
from datamodules.raw.local_files import LARGEST_PACKED, load_tensors, mapped_rows, read_array, read_file
from datamodules.raw.saved_graphs import PYG

ENDINGS = (".npz", ".pt")


def read_graph(name: str, folder: Path) -> Data:
    """Returns the graph in `<folder>/<name>.npz` or `<folder>/<name>.pt`; its parts are not looked into.

    A name with one of the endings is that of the one file. Features in `rows_beside` it are mapped into memory.

    Texts, such as labels in words, become an array of them; everything else tensors.

    Raises:
        DataError: if there is no such file or there are both, or if it is damaged or holds anything else.
    """
    graph, rows = read_whole(name, folder), rows_beside(name, folder)
    if rows is not None:
        if graph.get("x") is not None:
            raise DataError(f"{stem_of(name)}: `x` is in the graph's file and in {rows}: keep one")
        with readable(name, rows):
            graph.x = mapped_rows(rows)
    return graph


def rows_beside(name: str, folder: Path) -> Path | None:
    """Returns the file of the features of a graph, `<folder>/<name>.x.npy`; None if there is none."""
    path = folder / f"{stem_of(name)}.x.npy"
    return path if path.exists() else None


def read_whole(name: str, folder: Path) -> Data:
    """Returns what the file of a graph itself holds; see `read_graph`."""
    if name.endswith(ENDINGS) and (folder / name).exists():
        return read_parts(name, folder / name)
    stem = stem_of(name)
    candidates = [(folder / f"{stem}{ending}").absolute() for ending in ENDINGS]
    paths = [path for path in candidates if path.exists()]
    if len(paths) != 1:
        problem = "are both there: keep one" if paths else "are not there: put one there, or give data.root"
        raise DataError(f"{stem}: {' and '.join(map(str, candidates))} {problem}")
    if stem != name:
        raise DataError(f"{stem}: there is no {folder / name}, but {paths[0]}: name that")
    return read_parts(name, paths[0])


def stem_of(name: str) -> str:
    """Returns the name of a file without its ending, if that is one of `ENDINGS`."""
    return name.rpartition(".")[0] if name.endswith(ENDINGS) else name


def read_parts(name: str, path: Path) -> Data:
    """Returns the arrays or tensors in a file, `.npz` or `.pt`; texts become arrays, everything else tensors.

    Args:
        name: of the data set, for messages.

    Raises:
        DataError: if it has another ending, or is missing, damaged or holds anything else.
    """
    if path.suffix not in ENDINGS:
        raise DataError(f"{name}: {path}: expected a file {' or '.join(ENDINGS)}")
    with readable(name, path):
        content = read_file(path)
        return read_arrays(content) if path.suffix == ".npz" else read_tensors(content)


@contextmanager
def readable(name: str, path: Path) -> Iterator[None]:
    """Makes one sentence of what keeps a file from being read in the block.

    Raises:
        DataError: naming the file and the reason.
    """
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{error}"
        raise DataError(f"{name}: {path} cannot be read ({reason}): save it again") from error


def read_arrays(content: bytes) -> Data:
    """Returns the graph in the content of a `.npz` file.

    Raises:
        ValueError, BadZipFile: if it is damaged, or holds objects or more than one graph should need.
    """
    parts: dict[str, Any] = {}
    with ZipFile(BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_PACKED:
            raise ValueError(f"it has more than {LARGEST_PACKED:,} bytes unpacked")
        for entry in archive.namelist():
            array = read_array(archive, entry)
            parts[entry.removesuffix(".npy")] = array if array.dtype.kind in "US" else torch.from_numpy(native(array))
    return Data.from_dict(parts)


def native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns a copy of numbers in this machine's order of bytes, which tensors need.

    Raises:
        ValueError: for records, dates, and other types that tensors do not have.
    """
    if array.dtype.kind not in "biufc":
        raise ValueError(f"it holds {array.dtype}, expected numbers")
    return array.astype(array.dtype.newbyteorder("="))


def read_tensors(content: bytes) -> Data:
    """Returns the graph in the content of a `.pt` file: a dictionary of tensors, or a PyG `Data`.

    Raises:
        ValueError: if it is damaged or holds anything else.
    """
    found = load_tensors(content, PYG)
    if isinstance(found, Mapping):
        return Data.from_dict({str(part): value for part, value in found.items()})
    if not isinstance(found, Data):
        raise ValueError(f"it holds a {type(found).__name__}, expected a dictionary of tensors or a Data")
    return found
