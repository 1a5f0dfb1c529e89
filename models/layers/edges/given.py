"""What a network may be given, as far as dtypes and shapes tell, which cost nothing to look at."""

from __future__ import annotations

import torch
from torch import Tensor


def check_features(x: Tensor, width: int, dtype: torch.dtype) -> None:
    """Checks the features of nodes; an autocast takes any dtype.

    Raises:
        ValueError: unless they are [N, width] numbers of that dtype.
    """
    if x.ndim != 2 or x.shape[1] != width:
        raise ValueError(f"x: expected shape [N, {width}], got {list(x.shape)}")
    if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"x: expected {dtype}, as the weights are, got {x.dtype}")


def check_edges(edge_index: Tensor) -> None:
    """Raises ValueError unless edges are whole numbers, dense [2, E]."""
    if edge_index.layout != torch.strided or edge_index.ndim != 2 or len(edge_index) != 2:
        kind = "" if edge_index.layout == torch.strided else f"{edge_index.layout} "
        raise ValueError(f"edge_index: expected a dense tensor [2, E], got {kind}{list(edge_index.shape)}")
    check_whole("edge_index", edge_index)


def check_batch(batch: Tensor, rows: int) -> None:
    """Raises ValueError unless the graph of every row is a whole number."""
    check_whole("batch", batch)
    if batch.shape != (rows,):
        raise ValueError(f"batch: expected shape [{rows}], one graph for each row of x, got {list(batch.shape)}")


def check_whole(name: str, numbers: Tensor) -> None:
    """Raises ValueError unless a tensor's dtype is one of whole numbers."""
    if numbers.dtype == torch.bool or numbers.is_floating_point() or numbers.is_complex():
        raise ValueError(f"{name}: expected whole numbers, got {numbers.dtype}")
