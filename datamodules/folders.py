"""Where raw data and built graphs are: an argument, else an environment variable, else a default."""

from __future__ import annotations

import os
from pathlib import Path


def data_root(root: str | None = None) -> Path:
    """The folder of all raw data: `root` if given, else $DEGREE_QUANT_DATA, else `data`."""
    return Path(root or os.environ.get("DEGREE_QUANT_DATA") or "data")


def dataset_folder(folder: str | None, name: str) -> Path:
    """The folder of one data set's raw data: `folder` if given, else `name` in `data_root()`."""
    return Path(folder) if folder else data_root() / name


def cache_root(cache: str | None = None) -> Path:
    """The folder of built graphs: `cache` if given, else $DEGREE_QUANT_CACHE, else the user's cache folder.

    That is `degree-quant` in $XDG_CACHE_HOME, without that variable in `~/.cache`.
    """
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(cache or os.environ.get("DEGREE_QUANT_CACHE") or users / "degree-quant")
