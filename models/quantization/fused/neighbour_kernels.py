"""Kernels that find where the entries of sparse rows go when they are summed over neighbours (numba, on a CPU).

Row i of (A + I) X has a cell for every column of its own entries and of those of the rows that send to it. Rows a to
b - 1 are worked on, each by itself. `first`, `sources`: the adjacency in CSR order; `rowptr`, `cols`: the pattern of X,
of `width` columns; `own`: the part of `rowptr` that is of the nodes that edges enter.
"""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from models.quantization.fused.kernels import kernel


@kernel
def count_cells(a, b, first, sources, own, rowptr, cols, width, cells, received):
    """Writes for each row how many cells it has, and how many entries are sent to it."""
    row_of_column = np.full(width, -1, np.int64)
    for i in range(a, b):
        number, entries = 0, 0
        for e in range(own[i], own[i + 1]):
            if row_of_column[cols[e]] != i:
                row_of_column[cols[e]] = i
                number += 1
        for k in range(first[i], first[i + 1]):
            source = sources[k]
            entries += rowptr[source + 1] - rowptr[source]
            for e in range(rowptr[source], rowptr[source + 1]):
                if row_of_column[cols[e]] != i:
                    row_of_column[cols[e]] = i
                    number += 1
        cells[i], received[i] = number, entries


@kernel
def fill_cells(
    a, b, first, sources, own, rowptr, cols, width, first_cell, first_received, positions, cell_cols, ends, entries
):  # fmt: skip
    """Writes the column of each cell, ascending in a row, and the cell of each own entry.

    `entries` are those that are sent to a cell, one cell after another, in the order of the edges; `ends` says where
    those of each cell end.
    """
    row_of_column = np.full(width, -1, np.int64)
    number = np.zeros(width, np.int64)  # of entries that a column receives; then where the next one goes
    cell = np.zeros(width, np.int64)
    for i in range(a, b):
        begin = end = first_cell[i]
        for e in range(own[i], own[i + 1]):
            c = cols[e]
            if row_of_column[c] != i:
                row_of_column[c], number[c], cell_cols[end] = i, 0, c
                end += 1
        for k in range(first[i], first[i + 1]):
            source = sources[k]
            for e in range(rowptr[source], rowptr[source + 1]):
                c = cols[e]
                if row_of_column[c] != i:
                    row_of_column[c], number[c], cell_cols[end] = i, 0, c
                    end += 1
                number[c] += 1
        cell_cols[begin:end].sort()
        at = first_received[i]
        for k in range(begin, end):
            c = cell_cols[k]
            cell[c], here = k, at
            at += number[c]
            number[c], ends[k] = here, at
        for e in range(own[i], own[i + 1]):
            positions[e - own[0]] = cell[cols[e]]
        for k in range(first[i], first[i + 1]):
            source = sources[k]
            for e in range(rowptr[source], rowptr[source + 1]):
                c = cols[e]
                entries[number[c]] = e
                number[c] += 1
