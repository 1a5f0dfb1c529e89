"""Reads the graphs in the text files of a TUDataset, and checks that they fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.raw.tu_files import TextFiles

Integers = NDArray[np.int64]


def read_topology(files: TextFiles) -> tuple[Integers, Integers, Integers]:
    """Reads and checks the sizes and edges of all graphs.

    Shapes:
        num_nodes [G]; num_edges [G]; edge_index [2, E] (source, target), graph by graph; nodes count from 0 in
        each graph.

    Raises:
        DataError: naming the first line that is wrong.
    """
    indicator = _column(files, "graph_indicator")
    if indicator[0] != 1 or (indicator[1:] < indicator[:-1]).any():
        line = 1 if indicator[0] != 1 else int((indicator[1:] < indicator[:-1]).argmax()) + 2
        raise files.error("graph_indicator", line, f"graph {indicator[line - 1]}, expected them in order from 1 on")
    skips = indicator[1:] - indicator[:-1] > 1
    if skips.any():
        line = int(skips.argmax()) + 2
        graph = indicator[line - 2] + 1
        raise files.error("graph_indicator", line, f"graph {indicator[line - 1]}, but graph {graph} has no nodes")
    num_nodes = np.bincount(indicator - 1)
    edges = files.numbers("A", columns=2)
    assert edges is not None
    outside = ((edges < 1) | (edges > len(indicator))).any(1)
    if outside.any():
        line = int(outside.argmax())
        raise files.error("A", line + 1, f"edge {_pair(edges[line])}, but the nodes are 1 to {len(indicator)}")
    edges -= 1
    graph = indicator[edges[:, 0]]
    across = graph != indicator[edges[:, 1]]
    if across.any():
        line = int(across.argmax())
        raise files.error("A", line + 1, f"edge {_pair(edges[line] + 1)} joins two different graphs")
    order = np.argsort(graph, kind="stable")
    first_node = np.cumsum(num_nodes) - num_nodes
    inside = edges - first_node[graph - 1][:, None]
    return num_nodes, np.bincount(graph - 1, minlength=len(num_nodes)), inside[order].T


def read_nodes(files: TextFiles, part: str, num_nodes: int, *, kind: Any = np.int64) -> NDArray[Any] | None:
    """Reads a file with one line per node, [num_nodes, columns]; None if the data set has no such file.

    Raises:
        DataError: if it has more or fewer lines.
    """
    table = files.numbers(part, kind=kind)
    if table is not None and len(table) != num_nodes:
        raise files.wrong_length(part, len(table), num_nodes, "nodes")
    return table


def read_graphs(files: TextFiles, num_graphs: int) -> NDArray[Any]:
    """Reads the class of each graph, [num_graphs, 1], a whole number or a word.

    Raises:
        DataError: if the file is missing or has more or fewer lines.
    """
    return _for_each_graph(files, "graph_labels", files.labels("graph_labels"), num_graphs)


def read_targets(files: TextFiles, part: str, num_graphs: int) -> NDArray[np.float32]:
    """Reads a file with a line of numbers per graph, [num_graphs, columns]; NaN is not known.

    Raises:
        DataError: if it is missing or has more or fewer lines.
    """
    return _for_each_graph(files, part, files.numbers(part, kind=np.float32, unknown=True), num_graphs)


def _for_each_graph(files: TextFiles, part: str, table: NDArray[Any] | None, num_graphs: int) -> NDArray[Any]:
    if table is None:
        raise DataError(f"{files.name}: {files.name}_{part}.txt is missing: add it, or get {files.url} again")
    if len(table) != num_graphs:
        raise files.wrong_length(part, len(table), num_graphs, "graphs")
    return table


def _column(files: TextFiles, part: str) -> Integers:
    table = files.numbers(part, columns=1)
    assert table is not None
    return table[:, 0]


def _pair(edge: Integers) -> str:
    return f"({edge[0]}, {edge[1]})"
