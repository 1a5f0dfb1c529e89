"""Reads what a graph is made of, and refuses what is wrong with a sentence that begins with its name."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from .workers import MOST_PREPARED

MISSING = "edge_weight: the program reads a weight of every edge; give edge_weight, to run or to Graph"
NOT_READ = "edge_weight: the program reads no weights of edges, leave them out"

_ZEROS = np.zeros(MOST_PREPARED, np.int32)
"""What small graphs share."""


def as_count(number: Any, name: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """Returns a whole number within bounds as int.

    Raises:
        ValueError: if it is anything else; the message begins with `name`.
    """
    try:
        count = index(number)
    except TypeError:
        count = None
    if count is None or isinstance(number, bool):
        found = f"an array {list(number.shape)}" if getattr(number, "shape", ()) else repr(number)
        raise ValueError(f"{name}: expected a whole number, got {found}")
    if not least <= count <= most:
        raise ValueError(f"{name}: expected {least} to {'2^31 - 1' if most == 2**31 - 1 else most}, got {count}")
    return count


def as_array(x: Any, name: str) -> np.ndarray:
    """Returns `x` as a NumPy array. A torch tensor is recognized by its methods; torch is never imported.

    NumPy has no bfloat16: such tensors are read as float32, which has all their numbers.

    Raises:
        ValueError: if `x` cannot be read as an array, or some of it is masked; the message begins with `name`.
    """
    if type(x) is np.ndarray:
        return x
    if hasattr(x, "_mask") and np.ma.is_masked(x):
        raise ValueError(f"{name}: holds masked values, fill them in or leave them out")
    try:
        if hasattr(x, "detach"):
            x = x.detach().cpu()
            x = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: cannot be read as an array: {error}") from error


def read_edges(edge_index: Any, name: str, num_nodes: int) -> np.ndarray:
    """Returns edges [2, E] int32.

    Raises:
        ValueError: unless they are [2, E] whole numbers from 0 to num_nodes - 1; the message begins with `name`.
    """
    return checked(as_edges(edge_index, name), name, num_nodes)


def as_edges(edge_index: Any, name: str) -> np.ndarray:
    """Returns pairs of whole numbers [2, E] as an array.

    Raises:
        ValueError: if they are something else; the message begins with `name`.
    """
    edges = edge_index if type(edge_index) is np.ndarray else as_array(edge_index, name)
    if isinstance(edge_index, (list, tuple)) and edges.size == 0:  # an empty list has no dtype of its own
        edges = edges.astype(np.int64)
    if edges.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected whole numbers, got {edges.dtype}")
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise ValueError(f"{name}: expected shape [2, E], got {list(edges.shape)}")
    return edges


def checked(edges: np.ndarray, name: str, num_nodes: int) -> np.ndarray:
    """Returns edges [2, E] as int32.

    Raises:
        ValueError: unless they are from 0 to num_nodes - 1; the message begins with `name`.
    """
    if edges.dtype.itemsize < 4:
        edges = edges.astype(np.int32)
    unsigned = edges.view(edges.dtype.str.replace("i", "u"))  # negative numbers become larger ones than any node's
    if edges.size and unsigned.max() >= num_nodes:
        wrong = edges.min() if edges.min() < 0 else edges.max()
        nodes = f"0..{num_nodes - 1}" if num_nodes else "the graph, which has no nodes"
        raise ValueError(f"{name}: node {wrong} is outside {nodes}")
    return edges.astype(np.int32)


def read_weights(weights: np.ndarray, num_edges: int) -> np.ndarray:
    """Returns the weights of edges in the order given [E], float32.

    Raises:
        ValueError: unless they are [E] real numbers that are finite in float32.
    """
    if weights.dtype.kind not in "fiub":
        raise ValueError(f"edge_weight: expected real numbers, got {weights.dtype}")
    if weights.shape != (num_edges,):
        raise ValueError(f"edge_weight: expected shape [{num_edges}], one for every edge, got {list(weights.shape)}")
    with np.errstate(over="ignore"):
        numbers = weights.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError("edge_weight: holds a value that is NaN or not finite in float32")
    return numbers


def read_batch(batch: Any, num_nodes: int, num_graphs: int | None) -> tuple[np.ndarray, int]:
    """Returns the graph number of every node [N], int32, and the number of graphs.

    Raises:
        ValueError: unless `batch` is None or [N] whole numbers from 0 to num_graphs - 1.
    """
    if batch is None and num_graphs is None:
        return _ZEROS[:num_nodes] if num_nodes <= _ZEROS.size else np.zeros(num_nodes, np.int32), 1
    numbers = np.zeros(num_nodes, np.int32) if batch is None else as_array(batch, "batch")
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"batch: expected whole numbers, got {numbers.dtype}")
    if numbers.shape != (num_nodes,):
        raise ValueError(f"batch: expected shape [{num_nodes}], got {list(numbers.shape)}")
    if numbers.size and numbers.min() < 0:
        raise ValueError(f"batch: graph numbers cannot be negative, got {numbers.min()}")
    largest = int(numbers.max()) if numbers.size else -1
    least = 1 if batch is None else largest + 1
    if num_graphs is not None:
        graphs = as_count(num_graphs, "num_graphs")
        if graphs < least:
            raise ValueError(f"batch: {graphs} graphs, expected at least {least}")
        return numbers.astype(np.int32), graphs
    if least > max(num_nodes, 1):  # one wrong number would take the memory of as many graphs
        raise ValueError(f"batch: {num_nodes} nodes in {least} graphs, give num_graphs if so many have no node")
    return numbers.astype(np.int32), least
