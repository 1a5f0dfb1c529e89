"""The console that commands print on."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console

PAGE_WIDTH = 200
"""Columns where the output is a file or a pipe: room for the widest table."""


def plain_console(**settings: Any) -> Console:
    """Returns a console that prints texts as they are: `[v2]` and `:x:` in a path are no markup."""
    return Console(markup=False, emoji=False, **settings)


def standard_output(**settings: Any) -> Console:
    """Returns standard output, as wide as the terminal or $COLUMNS, or else wide enough for every table."""
    fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
    return plain_console(width=None if fixed else PAGE_WIDTH, **settings)
