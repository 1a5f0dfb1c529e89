"""Cuts a graph into parts of about equal size with few edges between them, and keeps the result."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch_geometric.utils import to_undirected

from datamodules.cache import write_cached
from datamodules.errors import DataError
from datamodules.folders import cache_root

MISSING = "data.parts needs the package pymetis, which cuts graphs: pip install pymetis"


def check_installed() -> None:
    """Raises DataError if the package that cuts graphs is not installed."""
    if find_spec("pymetis") is None:
        raise DataError(MISSING)


def partition(name: str, edge_index: Tensor, num_nodes: int, parts: int) -> Tensor:
    """Returns the part of every node [N] int64, from 0 on, each with at least one node: at most `parts`.

    METIS (Karypis & Kumar 1998) makes parts of about equal size with few edges between them; directions and
    self-loops do not count. The result is kept in the cache, by the graph and the number of parts, and read from there
    the next time.

    Args:
        name: of the data set, for messages.
        edge_index: [2, E] (source, target).
        parts: number of parts.

    Raises:
        DataError: for more parts than nodes, without the package `pymetis`, or where the cache cannot be written.
    """
    check_installed()
    if parts > num_nodes:
        raise DataError(f"{name}: data.parts is {parts}, but the graph that is trained on has {num_nodes} nodes")
    path = cache_root() / "partitions" / f"{key_of(edge_index, num_nodes)}-{parts}.safetensors"
    kept = read_partition(path, num_nodes)
    if kept is None:
        kept = cut(edge_index, num_nodes, parts)
        write_cached(path, save({"part": kept.int()}))
    return kept


def cut(edge_index: Tensor, num_nodes: int, parts: int) -> Tensor:
    """Cuts the graph by METIS; see `partition`."""
    import pymetis

    between = edge_index[:, edge_index[0] != edge_index[1]]
    source, target = to_undirected(between, num_nodes=num_nodes)
    rowptr = torch.zeros(num_nodes + 1, dtype=torch.int32)
    rowptr[1:] = torch.bincount(source, minlength=num_nodes).cumsum(0)
    _, part = pymetis.part_graph(parts, xadj=rowptr.numpy(), adjncy=target.int().numpy())
    numbers: Tensor = torch.unique(torch.as_tensor(part), return_inverse=True)[1]  # METIS may leave parts empty
    return numbers


def key_of(edge_index: Tensor, num_nodes: int) -> str:
    """Returns a hash of the nodes and edges of a graph."""
    total = hashlib.sha256(f"{num_nodes} {edge_index.shape[1]}\0".encode())
    total.update(edge_index.contiguous().numpy().data)
    return total.hexdigest()[:32]


def read_partition(path: Path, num_nodes: int) -> Tensor | None:
    """Reads a partition; None if there is no such file or it is damaged."""
    try:
        part = load_file(path)["part"].long() if path.is_file() else None  # opening a pipe waits for its other end
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError):
        return None
    sound = part is not None and part.shape == (num_nodes,) and int(part.min()) == 0 and bool(part.bincount().all())
    return part if sound else None
