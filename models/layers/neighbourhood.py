"""Sums of sparse rows over neighbours: where each stored entry goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.quantization.sparse import Pattern, row_pointers

if TYPE_CHECKING:
    from models.layers.graph import Graph


class Neighbourhood:
    """Sums of sparse rows X [N, F] over neighbours: the pattern of (A + I) X and the linear maps onto its entries.

    Attributes:
        pattern: the stored entries of each node's own row and of its in-neighbours' rows, united.
        positions: the position in `pattern` of every entry of X.
        contributions: [nnz of `pattern`, nnz of X], a one where an entry of X adds to an entry of A X.
    """

    def __init__(self, graph: Graph, features: Pattern) -> None:
        num_nodes, width = features.shape
        edge, entry = entries_sent(graph, features)
        stored = features.rows * width + features.cols  # cells of the matrix, numbered row by row
        received = graph.target[edge] * width + features.cols[entry]
        cells, position = torch.unique(torch.cat([stored, received]), return_inverse=True)
        self.positions, received_at = position.tensor_split([stored.numel()])
        self.pattern = Pattern(row_pointers(cells // width, num_nodes), cells % width, features.shape)
        self.contributions = one_per_pair(received_at, entry, (cells.numel(), features.cols.numel()))


def entries_sent(graph: Graph, features: Pattern) -> tuple[Tensor, Tensor]:
    """Lists, edge by edge, the stored entries of the edge's source row: the edges' numbers and the entries' numbers."""
    per_row = features.rowptr.diff().long()
    per_edge = per_row[graph.source]
    edge = torch.repeat_interleave(torch.arange(len(per_edge), device=per_edge.device), per_edge)
    first_of_edge = per_edge.cumsum(0) - per_edge  # where in the list an edge begins
    first_of_row = features.rowptr[:-1].long()[graph.source]
    entry = torch.arange(edge.numel(), device=edge.device) + (first_of_row - first_of_edge)[edge]
    return edge, entry


def one_per_pair(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Pattern:
    """Returns the pattern with an entry at every (row, column); entries of a row stay in the order given."""
    order = torch.argsort(rows, stable=True)
    return Pattern(row_pointers(rows[order], shape[0]), columns[order], shape)
