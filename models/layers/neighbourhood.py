"""Sums of sparse rows over neighbours: where each stored entry goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.quantization.fused import neighbour_kernels
from models.quantization.fused.parallel import run_on_row_ranges
from models.quantization.sparse import Pattern, row_pointers, stable_order

if TYPE_CHECKING:
    from models.layers.graph import Graph

ENTRIES_AT_ONCE = 2**18
"""Stored entries, own and received ones, of the rows that are worked on at once: about 100 bytes each."""


class Neighbourhood:
    """Sums of sparse rows over neighbours: the pattern of (A + I) X and the linear maps onto its entries.

    X [M, F] are the rows of all nodes that send, among them those of the N nodes that edges enter: of a whole graph
    all, of a `GraphBlock` some that follow one another. A CPU makes it by kernels, a GPU in blocks of rows, so that of
    a large graph hardly more is held than what stays.

    Attributes:
        pattern: [N, F], the stored entries of each node's own row and of its in-neighbours' rows, united.
        positions: the position in `pattern` of every entry of the N nodes' own rows.
        contributions: [nnz of `pattern`, nnz of X], a one where an entry of X adds to an entry of A X.
    """

    def __init__(self, graph: Graph, features: Pattern) -> None:
        make = _by_kernels if features.cols.device.type == "cpu" else _in_blocks
        self.positions, cells, cols, received, entries = make(graph, features)
        self.pattern = Pattern(cells, cols, (graph.num_nodes, features.shape[1]))
        self.contributions = Pattern(received, entries, (cols.numel(), features.cols.numel()))


def _by_kernels(graph: Graph, features: Pattern) -> tuple[Tensor, ...]:
    """Returns positions, and the CSR offsets and columns of pattern and contributions."""
    rows, sent = graph.num_nodes, features.rowptr.numpy()
    own = sent[graph.first_node : graph.first_node + rows + 1]
    edges = graph.adjacency.rowptr.numpy(), graph.source.numpy()
    given = *edges, own, sent, features.cols.numpy(), features.shape[1]
    counts = np.empty((2, rows), np.int64)
    work = edges[1].size * max(1, features.cols.numel() // max(1, features.shape[0]))
    run_on_row_ranges(lambda a, b: neighbour_kernels.count_cells(a, b, *given, *counts), rows, work)
    offsets = np.zeros((2, rows + 1), np.int64)
    np.cumsum(counts, 1, out=offsets[:, 1:])
    cells, received = offsets[:, -1]
    positions, cols = np.empty(own[-1] - own[0], np.int64), np.empty(cells, np.int32)
    ends, entries = np.zeros(cells + 1, np.int64), np.empty(received, np.int32)
    made = positions, cols, ends[1:], entries
    run_on_row_ranges(lambda a, b: neighbour_kernels.fill_cells(a, b, *given, *offsets, *made), rows, work)
    return tuple(map(torch.from_numpy, (positions, offsets[0], cols, ends, entries)))


def _in_blocks(graph: Graph, features: Pattern) -> tuple[Tensor, ...]:
    """The same on a GPU."""
    blocks, cells = list[Block](), 0
    for rows in blocks_of_rows(graph, features):
        blocks.append(Block.of(graph, features, rows, cells))
        cells += blocks[-1].cols.numel()
    positions, cols, cells_of_rows, entries, entries_of_cells = zip(*blocks, strict=True)
    del blocks
    return torch.cat(positions), offsets(cells_of_rows), torch.cat(cols), offsets(entries_of_cells), torch.cat(entries)


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
