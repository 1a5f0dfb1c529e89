"""Checks the files that options name."""

from __future__ import annotations

from pathlib import Path

from app.errors import UserError


def output_file(word: str, option: str = "--output") -> Path:
    """Returns the file that an option names.

    Raises:
        UserError: if it is a folder.
    """
    if Path(word).is_dir():
        raise UserError(f"{option} {word}: is a folder; name a file")
    return Path(word)
