"""Finds out what a result is made with: versions of packages, and the git revision of this code."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
import torch_geometric

from app import __version__


def versions() -> dict[str, str]:
    """Returns the versions of Python, of this program and of the packages that it computes with."""
    return {
        "degree-quant": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch-lightning": version("pytorch-lightning"),
        "torch-geometric": torch_geometric.__version__,
    }


def revision() -> str | None:
    """Returns the git revision of this code, with `-dirty` if files are changed; None outside a checkout."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
