"""What the benchmark commands have in common: the names in their options, and their figures as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from app.cli.output import output_file
from app.engine.files import write_atomically
from app.errors import UserError
from app.runs.provenance import versions
from app.runs.timing import processor


def check_names(command: str, names: Sequence[str], known: Collection[str]) -> None:
    """Refuses a workload or network that does not exist.

    Raises:
        UserError: if one of the names is not known.
    """
    for name in names:
        if name not in known:
            raise UserError(f"{command}: no {name!r}, expected one of {', '.join(known)}")


def output_of(options: argparse.Namespace) -> Path | None:
    """The file that --output names; None without that option.

    Raises:
        UserError: if it is a folder.
    """
    return output_file(options.output) if options.output else None


def write_figures(path: Path, figures: Mapping[str, Any], console: Console) -> None:
    """Writes the figures of a benchmark as JSON, with the processor and the versions of packages, and prints where."""
    about = {"processor": processor(), "versions": versions()}
    write_atomically(path, json.dumps({**figures, **about}, indent=2) + "\n")
    console.print(f"figures in {path}", highlight=False, soft_wrap=True)
