"""Sums of sparse rows over neighbours: where each stored entry goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from models.quantization.sparse import Pattern, row_pointers, stable_order

if TYPE_CHECKING:
    from models.layers.graph import Graph

ENTRIES_AT_ONCE = 2**18
"""Stored entries, own and received ones, of the rows that are worked on at once: about 100 bytes each."""


class Neighbourhood:
    """Sums of sparse rows X [N, F] over neighbours: the pattern of (A + I) X and the linear maps onto its entries.

    It is made in blocks of rows, so that of a large graph hardly more is held than what stays.

    Attributes:
        pattern: the stored entries of each node's own row and of its in-neighbours' rows, united.
        positions: the position in `pattern` of every entry of X.
        contributions: [nnz of `pattern`, nnz of X], a one where an entry of X adds to an entry of A X.
    """

    def __init__(self, graph: Graph, features: Pattern) -> None:
        blocks, cells = list[Block](), 0
        for rows in blocks_of_rows(graph, features):
            blocks.append(Block.of(graph, features, rows, cells))
            cells += blocks[-1].cols.numel()
        positions, cols, cells_of_rows, entries, entries_of_cells = zip(*blocks, strict=True)
        del blocks
        self.positions = torch.cat(positions)
        self.pattern = Pattern(offsets(cells_of_rows), torch.cat(cols), features.shape)
        self.contributions = Pattern(offsets(entries_of_cells), torch.cat(entries), (cells, features.cols.numel()))


class Block(NamedTuple):
    """What a `Neighbourhood` holds of some consecutive rows.

    Attributes:
        positions: of these rows' entries of X, int64.
        cols: of the entries of `pattern`, int32.
        cells_of_rows: the number of these in each row, int32.
        entries: of X that are added to them, one cell after another, in the order of the edges; int32.
        entries_of_cells: the number of these in each entry of `pattern`, int32.
    """

    positions: Tensor
    cols: Tensor
    cells_of_rows: Tensor
    entries: Tensor
    entries_of_cells: Tensor

    @classmethod
    def of(cls, graph: Graph, features: Pattern, rows: tuple[int, int], cells_before: int) -> Block:
        """Returns the block of rows from the first to before the last, with so many entries of `pattern` before it."""
        first, last = rows
        num_rows = last - first
        own = slice(int(features.rowptr[first]), int(features.rowptr[last]))
        edges = slice(int(graph.adjacency.rowptr[first]), int(graph.adjacency.rowptr[last]))
        edge, entry = entries_sent(graph.source[edges], features)
        per_row = features.rowptr[first : last + 1].diff()
        numbers = torch.arange(num_rows, dtype=torch.int32, device=entry.device)
        stored = torch.repeat_interleave(numbers, per_row, output_size=own.stop - own.start)
        target = (graph.target[edges] - first).int()
        row = torch.cat([stored, target.index_select(0, edge)])
        col = torch.cat([features.cols[own], features.cols.index_select(0, entry)])
        order = stable_order(col, features.shape[1])
        order = order.index_select(0, stable_order(row.index_select(0, order), num_rows))
        row, col = row.index_select(0, order), col.index_select(0, order)
        begins = torch.ones_like(row, dtype=torch.bool)
        begins[1:] = (row[1:] != row[:-1]) | (col[1:] != col[:-1])
        cell, begin = begins.cumsum(0) - 1, begins.nonzero()[:, 0]
        position = torch.empty_like(order).scatter_(0, order, cell + cells_before)
        received = (order >= stored.numel()).nonzero()[:, 0]
        added = order.index_select(0, received) - stored.numel()
        return cls(
            position[: stored.numel()].clone(),
            col.index_select(0, begin),
            row_pointers(row.index_select(0, begin), num_rows).diff(),
            entry.index_select(0, added).int(),
            row_pointers(cell.index_select(0, received), begin.numel()).diff(),
        )


def blocks_of_rows(graph: Graph, features: Pattern) -> list[tuple[int, int]]:
    """Returns consecutive ranges of rows, each with about `ENTRIES_AT_ONCE` own and received entries, or one row."""
    sent = torch.zeros(graph.source.numel() + 1, dtype=torch.int64, device=graph.source.device)
    torch.cumsum(features.rowptr.diff()[graph.source], 0, out=sent[1:])
    before = features.rowptr + sent[graph.adjacency.rowptr]
    multiples = torch.arange(0, max(int(before[-1]), 1), ENTRIES_AT_ONCE, device=before.device)
    rows = torch.searchsorted(before[:-1], multiples).tolist()
    first = [0, *dict.fromkeys(row for row in rows if 0 < row < graph.num_nodes)]
    return list(zip(first, [*first[1:], graph.num_nodes], strict=True))


def entries_sent(source: Tensor, features: Pattern) -> tuple[Tensor, Tensor]:
    """Lists, edge by edge, the stored entries of the edge's source row: the edges' numbers and the entries' numbers."""
    per_edge = features.rowptr.diff()[source]
    edge = torch.repeat_interleave(per_edge)
    first_of_edge = per_edge.cumsum(0) - per_edge  # where in the list an edge begins
    behind = features.rowptr[source] - first_of_edge
    entry = torch.arange(edge.numel(), device=edge.device).add_(behind.index_select(0, edge))
    return edge, entry


def offsets(counts: tuple[Tensor, ...]) -> Tensor:
    """Returns the CSR offsets, int32, of rows with these numbers of entries."""
    every = torch.cat([counts[0].new_zeros(1), *counts])
    return every.cumsum_(0)
