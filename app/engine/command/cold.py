"""`cold`: measures what the first call of a program costs where nothing is compiled yet."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from ..program.io import read_program

FIGURES = ("import", "load", "first call", "in all")
"""Parts of the processor time of a process, in seconds."""


def run(options: argparse.Namespace) -> None:
    """Prints, for `options.program`, several of them, the processor seconds of processes without and with a cache.

    Raises:
        ValueError: if a program cannot be read.
    """
    for path in options.program:
        read_program(path)
    print(f"{'processor seconds':<40}" + "".join(f"{name:>12}" for name in FIGURES))
    for path in options.program:
        with TemporaryDirectory() as cache:
            for kernels in ("nothing compiled", "all compiled"):
                seconds = in_new_process(path, cache)
                print(f"{path + ', ' + kernels:<40}" + "".join(f"{seconds[name]:>12.2f}" for name in FIGURES))


def in_new_process(path: str, cache: str) -> dict[str, float]:
    """Returns FIGURES of a new process that loads a program and calls it once, with compiled kernels in a folder.

    Raises:
        ValueError: if the process fails.
    """
    code = f"import sys; sys.path[:0] = {sys.path!r}; from {__name__} import measure; measure({str(Path(path))!r})"
    settings = {**os.environ, "NUMBA_CACHE_DIR": cache}
    ended = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False)
    if ended.returncode:
        told = ended.stderr.strip().rpartition("\n")[2] or f"it ended with {ended.returncode} and no word"
        raise ValueError(f"{path}: the process that was measured failed: {told}")
    seconds: dict[str, float] = json.loads(ended.stdout)
    return seconds


def measure(path: str) -> None:
    """Prints FIGURES of this process, which has just begun, as JSON."""
    from ..executor import load_program
    from .samples import samples

    imported = process_time()
    executable = load_program(path)
    loaded = process_time()
    _, x, graph = next(samples(read_program(path)))
    executable.run(x, graph)
    ends = process_time()
    print(json.dumps(dict(zip(FIGURES, (imported, loaded - imported, ends - loaded, ends), strict=True))))
