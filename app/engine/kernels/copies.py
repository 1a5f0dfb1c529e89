"""Kernels that copy codes and compute nothing. See common.py for the conventions of kernels."""

from __future__ import annotations

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"
import numpy as np

from .common import kernel


@kernel
def take_rows(ids, table, out):
    """Writes the rows of a table [T, W] to out [n, W]; returns whether all ids [n], float32, are those of rows."""
    valid = True
    for i in range(ids.size):
        known = ids[i] == np.rint(ids[i]) and 0 <= ids[i] < table.shape[0]
        if known:
            row = table[np.intp(ids[i])]
            for j in range(out.shape[1]):
                out[i, j] = row[j]
        valid &= known
    return valid


@kernel
def put_columns(x, first, out):
    """Copies codes x [n, W] to the columns of `out` from number `first` on."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, first + j] = x[i, j]


@kernel
def larger(a, b, out):
    """Writes the larger ones of codes a and b [n] to out [n]."""
    for i in range(a.size):
        out[i] = max(a[i], b[i])
