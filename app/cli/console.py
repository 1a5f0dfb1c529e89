"""Where commands print."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console

PAGE_WIDTH = 200
"""Columns of a file or pipe: room for the widest table."""


def standard_output(**settings: Any) -> Console:
    """Standard output: as wide as the terminal (or $COLUMNS), and wide enough for every table where there is none."""
    fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if fixed else PAGE_WIDTH, **settings)
