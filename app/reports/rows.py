"""Tables as rows of text."""

from __future__ import annotations

Rows = list[list[str]]
"""A table: its header, then its rows."""

Tables = dict[str, Rows]
"""Tables by title."""


def without_empty_columns(rows: Rows) -> Rows:
    """Drops the columns in which nothing stands below the header."""
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in kept] for row in rows]
