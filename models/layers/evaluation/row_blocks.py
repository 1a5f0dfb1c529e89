"""What is computed row by row is computed in blocks of rows, so that what is in between exists for one block only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from models.quantization.control import is_watched
from models.quantization.sparse import Features, SparseRows

ROWS = 8192
"""Rows of a block. Products without gradients are formed in these blocks wherever they stand (see `products.matmul`).
So what a layer computes in blocks equals what it computes in one piece, bit for bit, whatever library multiplies."""


def blocks_of(count: int, size: int | None = None) -> Iterator[slice]:
    """Yields the blocks of so many rows, each of `size` of them (by default `ROWS`), the last of what is left."""
    size = size or ROWS
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def rows_of(x: Features, rows: slice) -> Features:
    """Returns a block of rows, of which dense ones are not copied."""
    return x.part(rows) if isinstance(x, SparseRows) else x[rows]


def suits_blocks(x: Features) -> bool:
    """Whether what reads x [N, F] row by row goes block by block: on a CPU, without gradients, of several blocks."""
    device = x.values.device if isinstance(x, SparseRows) else x.device
    return x.shape[0] > ROWS and device.type == "cpu" and not torch.is_grad_enabled()


def runs_in_blocks(layer: nn.Module, x: Features) -> bool:
    """Whether a layer is evaluated block by block.

    In one piece goes what is trained, what has a part whose rows depend on each other (it says so by `mixes_rows`), and
    what is watched: a hook on a site sees all rows, so that ranges are calibrated and codes compared on whole tensors.
    """
    if layer.training or not suits_blocks(x):
        return False
    parts = [part for part in layer.modules() if part is not layer]
    return not any(getattr(part, "mixes_rows", False) or is_watched(part) for part in parts)


def in_blocks(make: Callable[[Features, slice], tuple[Tensor, ...]], x: Features) -> tuple[Tensor, ...]:
    """Returns the rows that `make` makes of blocks of x [N, F] and their positions, tensors [N, ...].

    A block that `make` hands on as it is given is not copied: then the tensor is x.
    """
    results: tuple[Tensor, ...] = ()
    for rows in blocks_of(x.shape[0]):
        block = rows_of(x, rows)
        made = make(block, rows)
        results = results or tuple(
            x if part is block else part.new_empty(x.shape[0], *part.shape[1:])  # type: ignore[misc]
            for part in made
        )
        for result, part in zip(results, made, strict=True):
            if part is not block:
                result[rows] = part
    return results
