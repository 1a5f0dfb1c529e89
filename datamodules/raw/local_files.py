"""Reads files that anybody may have put there: regular ones only, up to a bound, and nothing that runs code."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.serialization import safe_globals

from app.engine.files import output_at
from datamodules.errors import DataError

LARGEST = 1 << 33
"""Bytes of the largest file that is read."""

LARGEST_PACKED = 1 << 30
"""Bytes of the largest file that is unpacked: a few megabytes in a zip can hold a thousand times as much."""


def refuse_output(path: Path) -> None:
    """Raises DataError if the running command is going to write a file that it reads."""
    if named := output_at(path):
        raise DataError(f"{named}: is data that this command reads; name another file")


def read_file(path: Path, limit: int = LARGEST) -> bytes:
    """Returns the content of a regular file; a pipe or a device, which may never end, is not opened for long.

    Raises:
        DataError: see `refuse_output`.
        OSError: if there is none, if it is not regular, or if it has more than `limit` bytes.
    """
    refuse_output(path)
    # Without O_NONBLOCK opening a pipe waits for its other end.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a regular file", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than {limit:,}", str(path))
        return file.read(limit)


def read_packed(archive: ZipFile, name: str, limit: int = LARGEST_PACKED) -> bytes:
    """Returns the content of one file of a zip; nothing is written anywhere, so its path is only a name.

    Raises:
        BadZipFile: if it is damaged, encrypted, or says that it has more than `limit` bytes.
        KeyError: if there is none of this name.
    """
    entry = archive.getinfo(name)
    if entry.flag_bits & 1:
        raise BadZipFile(f"{name} is encrypted")
    if entry.file_size > limit:
        raise BadZipFile(f"{name} has {entry.file_size:,} bytes unpacked, more than {limit:,}")
    return archive.read(entry)  # at most as many bytes as the entry says


def read_array(archive: ZipFile, name: str) -> NDArray[Any]:
    """Returns an array of numbers or texts in a zip, as `np.savez` writes it.

    `np.load` would make one as large as its header says, before it reads.

    Raises:
        ValueError: if it is damaged, or holds objects.
        BadZipFile, KeyError: see `read_packed`.
    """
    file = BytesIO(read_packed(archive, name))
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, kind = header(file)
    if kind.hasobject:
        raise ValueError(f"{name} holds objects")
    values = np.frombuffer(file.read(), dtype=kind)
    return values.reshape(shape, order="F" if in_columns else "C")


def mapped_rows(path: Path) -> Tensor:
    """Returns the rows of a `.npy` file, mapped into memory: the system loads what is read of them, and can drop it.

    Shapes:
        result [N, F] float32.

    Raises:
        OSError: if there is no such regular file.
        ValueError: if it is damaged or holds anything else; see also `refuse_output`.
    """
    refuse_output(path)
    if path.exists() and not path.is_file():  # opening a pipe waits for its other end
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    rows = np.lib.format.open_memmap(path, mode="c")  # copy on write: torch wants memory that it could write to
    if rows.dtype != np.float32 or rows.ndim != 2 or not rows.flags.c_contiguous:
        order = "" if rows.flags.c_contiguous else ", column after column"
        raise ValueError(f"it holds {rows.dtype} of shape {list(rows.shape)}{order}, expected rows [N, F] of float32")
    return torch.from_numpy(rows)


def load_tensors(content: bytes, classes: Sequence[type] = ()) -> Any:
    """Returns the tensors, lists and dictionaries that `torch.save` wrote; beside them, only `classes` are made of it.

    Raises:
        ValueError: if it is damaged, or names a class or a function that tensors have no use for.
    """
    file = BytesIO(content)
    if content.startswith(b"PK"):  # older versions of torch wrote no zip
        try:
            with ZipFile(file) as archive:
                packed = [entry.filename for entry in archive.infolist() if entry.compress_type != ZIP_STORED]
        except (BadZipFile, OSError, ValueError) as error:
            raise ValueError(f"{error}") from error
        if packed:
            raise ValueError(f"{packed[0]} in it is compressed, which torch.save never does")
    file.seek(0)
    try:
        with safe_globals(list(classes)):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(without_advice(error)) from error
    except (RuntimeError, EOFError, KeyError, TypeError, AttributeError, IndexError, MemoryError) as error:
        raise ValueError(f"{error}".split("\n")[0] or type(error).__name__) from error


def without_advice(error: UnpicklingError) -> str:
    """Returns in a few words what torch refused to load; its own message advises to load it nevertheless."""
    words = str(error)
    start = words.find("GLOBAL ")
    name = words[start:].split()[1].rstrip(".,") if start >= 0 else ""
    return f"it names {name}, which no tensor needs" if name else "it is no file of tensors"
