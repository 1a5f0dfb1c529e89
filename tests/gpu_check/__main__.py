"""Tries on a machine with a GPU what tests only pretend: trainings, exactness, several GPUs, speed, programs.

    python -m tests.gpu_check --output check.json [--data DIR] [--steps 50] [--seconds 3600] [--only WORD ...]

They may take half an hour; `--only` runs those whose names have one of the words. Where a call may take ten minutes,
run these groups one after the other: `codes waits profile`, `kernels`, `runs`, `demo several`, `training/synthetic`,
`training/digits`, `speed`, `latency/cifar10`, `latency/reddit`. Ends in a table and, if asked, in a file of JSON; the
exit code is 1 if a check failed. Needs no network: all data here is embedded in the project, except for MNIST and
REDDIT-BINARY, which are timed if `--data` names their folder. The machine needs the packages of pyproject.toml, also
jsonargparse, which few images have (with docstring-parser and typeshed-client), and pytest and pytest-xdist. Every
check runs in processes of its own, each for LIMIT seconds at most, so that one that crashes or hangs leaves the others
to run; none is begun after `--seconds`, 200 where a call may take ten minutes.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NEEDED = (
    *("torch", "numpy", "numba", "triton", "pytorch_lightning", "torch_geometric", "torchmetrics", "scipy", "yaml"),
    *("jsonargparse", "docstring_parser", "typeshed_client", "pytest", "xdist", "tensorboard", "rich", "filelock"),
    *("safetensors", "sklearn", "skimage", "PIL"),
)
"""Modules that the checks import."""


Check = tuple[str, Callable[[], dict[str, Any]]]


def main() -> int:
    """Runs the checks that are asked for, if the machine can."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD")
    options = parser.parse_args()
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"error: these packages are missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    import torch

    from tests.gpu_check.checks import checks

    if not torch.cuda.is_available():
        print("error: torch finds no GPU with CUDA here", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a check's processes end with this one
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = list(checks(options, Path(folder)))
        chosen = [check for check in found if any(word in check[0] for word in options.only)]
        if not chosen:
            parser.error(f"--only: no check is called so; there are {', '.join(name for name, _ in found)}")
        return run(chosen, torch.cuda.get_device_name(0), options.output, options.seconds)


def run(chosen: list[Check], name_of_gpu: str, output: Path | None, seconds: float) -> int:
    """Runs checks, prints them as they end, and begins none after so many seconds; returns 1 if one failed."""
    from rich.console import Console
    from rich.table import Table

    console, rows, begin = Console(), [], time.perf_counter()
    for name, check in chosen:
        start = time.perf_counter()
        late = {"passed": None, "remark": f"not tried: {seconds:g} seconds were over"}
        try:
            row = {"check": name, "passed": True, **(check() if start - begin < seconds else late)}
        except Exception as problem:
            row = {"check": name, "passed": False, "problem": str(problem)}
        rows.append({**row, "seconds": round(time.perf_counter() - start, 1)})
        console.print(rows[-1])
        if output:  # kept at once: the machine may be taken away
            output.write_text(json.dumps({"device": name_of_gpu, "checks": rows}, indent=1))
    table = Table("check", "passed", "seconds", title=name_of_gpu)
    for row in rows:
        table.add_row(row["check"], "not tried" if row["passed"] is None else str(row["passed"]), str(row["seconds"]))
    console.print(table)
    return 1 if any(row["passed"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
