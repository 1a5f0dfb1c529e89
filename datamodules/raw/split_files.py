"""Reads a split of graphs or nodes from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batched import Split
from datamodules.classes import Label
from datamodules.errors import DataError
from datamodules.raw.graph_files import read_parts

PARTS = ("train", "val", "test")
"""Of a split, in a file."""

Integers = NDArray[np.int64]


def read_split(name: str, file: str, rows: int, *, ids: Sequence[Label] = (), what: str = "graph") -> tuple[Split, str]:
    """Reads a split from a file, `.npz` or `.pt`, with `train`, `val` and `test`.

    Each is a mask [rows] of bool, or [n] whole numbers, which count from 0, or words, which are of `ids`.

    Args:
        name: of the data set.
        ids: what the user calls each row.
        what: a row is: `node`, `graph`.

    Returns:
        The split, and a remark on rows in no part of it.

    Raises:
        DataError: if the file cannot be read, lacks a part, names a row that is none, or one twice.
    """
    parts = read_parts(name, Path(file)).to_dict()
    if missing := [part for part in PARTS if part not in parts]:
        raise DataError(f"{name}: {file} has no `{missing[0]}`: expected {', '.join(PARTS)}")
    split = Split(*(ascending(_rows(f"{name}: {file}: `{part}`", parts[part], rows, ids)) for part in PARTS))
    times = torch.bincount(torch.cat([split.train, split.val, split.test]), minlength=rows)
    if (times > 1).any():
        raise DataError(f"{name}: {file} names {what} {int((times > 1).nonzero()[0])} twice: leave it in one part")
    left = int((times == 0).sum())
    return split, f"{left} of {rows} {what}s are in no part of {file}" if left else ""


def _rows(place: str, value: object, rows: int, ids: Sequence[Label]) -> Integers:
    found = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if found.dtype.kind in "US":
        position = {str(name): row for row, name in enumerate(ids)}
        if len(position) < len(ids):
            twice = Counter(map(str, ids)).most_common(1)[0][0]
            raise DataError(f"{place}: the data has the id {twice!r} more than once; name its rows by their numbers")
        if unknown := [word for word in found.flat if word not in position]:
            raise DataError(f"{place}: {str(unknown[0])!r} is no id of the data")
        return np.array([position[word] for word in found.flat], dtype=np.int64)
    if found.dtype == np.bool_ and found.shape != (rows,):
        raise DataError(f"{place}: a mask of shape {list(found.shape)}, expected [{rows}]")
    numbers = found.nonzero()[0] if found.dtype == np.bool_ else found
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not len(numbers):
        raise DataError(f"{place}: expected a mask, or at least one whole number or id")
    if numbers.min() < 0 or numbers.max() >= rows:
        raise DataError(f"{place}: expected numbers from 0 to {rows - 1}, got {numbers.min()} to {numbers.max()}")
    return numbers.astype(np.int64)


def ascending(graphs: Integers) -> Tensor:
    """Returns numbers of graphs as a tensor, in ascending order."""
    return torch.from_numpy(np.sort(graphs))
