"""Runs Python in processes of their own, so that a check that crashes or hangs leaves the others to run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 400
"""Seconds that a process may take."""
CHARACTERS = 8000
"""How much is told of what a process said that failed: what did not pass stands at the end."""


def output_of(*words: str) -> str:
    """Runs Python and returns what it printed. What is too slow is killed with all processes that it started.

    Raises:
        RuntimeError: with the end of what it said, if it failed or took more than LIMIT seconds.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    group = {"preexec_fn": os.setpgrp}  # no session of its own: it ends with the command that runs the checks
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, **group, **pipes) as process:  # type: ignore[call-overload]
        try:
            out, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired as problem:
            raise RuntimeError(f"{' '.join(words)}: took more than {LIMIT} s") from problem
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RuntimeError(f"{errors}\n{out}".strip()[-CHARACTERS:])
    return str(out)


def train_py(*words: str, data: Path | None = None) -> str:
    """Runs the program and returns what it printed.

    Raises:
        RuntimeError: see `output_of`.
    """
    root = ("--data.root", str(data.resolve())) if data else ()
    return output_of(str(ROOT / "train.py"), *words, *root)


def apart(call: str) -> dict[str, Any]:
    """Returns the result of a check of `on_device`.

    Raises:
        RuntimeError: see `output_of`.
    """
    code = f"import json; from tests.gpu_check import on_device; print(json.dumps(on_device.{call}))"
    result: dict[str, Any] = json.loads(output_of("-c", code).strip().splitlines()[-1])
    return result


def run_tests(*paths: str) -> dict[str, Any]:
    """Runs tests that take the GPU where there is one, side by side: what they compile takes longest.

    Raises:
        RuntimeError: if one failed or was skipped, or none passed.
    """
    return {
        "ends": all_passed(output_of("-m", "pytest", "-nauto", "-o", "addopts=", "--import-mode=importlib", *paths))
    }


def all_passed(said: str) -> str:
    """Returns the last line of what pytest said.

    Raises:
        RuntimeError: if a test was skipped, or none passed.
    """
    end = said.strip().splitlines()[-1]
    if not re.search(r"\b[1-9]\d* passed", end) or "skipped" in end:
        raise RuntimeError(f"every test has to pass, none to be skipped: {end}")
    return end
