"""Tries on a machine with a GPU what tests only pretend: trainings, exactness, several GPUs, speed, programs.

    python -m tests.gpu_check --output check.json [--data DIR] [--steps 50] [--only WORD ...]

They may take half an hour; `--only` runs those whose names have one of the words. Where a call may take ten minutes,
run these groups one after the other: `codes profile`, `kernels`, `runs`, `demo several`, `synthetic/`, `digits/`,
`speed`, `cifar10`, `reddit`. Ends in a table and, if asked, in a file of JSON; the exit code is 1 if a
check failed. Needs no network: all data here is embedded in the project, except for MNIST and REDDIT-BINARY, which are
timed if `--data` names their folder. The machine needs the packages of pyproject.toml, also jsonargparse, which few
images have (with docstring-parser and typeshed-client), and pytest and pytest-xdist. Every check runs in processes of
its own, each for LIMIT seconds at most, so that one that crashes or hangs leaves the others to run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 400
"""Seconds that a process may take."""
SCHEMES = ("fp32", "qat_int8", "dq_int8", "lsq_int8")
KERNELS_OF_TRAINING = ("tests/models/quantization/fused/test_device.py", "tests/models/quantization/test_sparse.py")
CELLS = ("synthetic/gcn/dq_int8", "synthetic/gat/lsq_int8", "digits/gin/dq_int8", "digits/gcn/lsq_dq_int4")
SHORT = ("--trainer.enable_progress_bar=false", "--trainer.accelerator=gpu")
NEEDED = (
    *("numba", "triton", "pytorch_lightning", "torch_geometric", "torchmetrics", "scipy", "yaml"),
    *("jsonargparse", "docstring_parser", "typeshed_client", "pytest", "xdist"),
)
"""Modules that the checks import."""
TIMED = {"digits/gin": (), "digits/gcn": ()}
TIMED_WITH_DATA = {
    "mnist/gin": ("--data.train_size", "5000"), "mnist/gcn": ("--data.train_size", "5000"), "reddit_binary/gin": ()
}  # fmt: skip


def train_py(*words: str, data: Path | None = None) -> str:
    """Runs the program and returns what it printed.

    Raises:
        RuntimeError: with the end of what it said, if it failed.
    """
    root = ("--data.root", str(data.resolve())) if data else ()
    return output_of(str(ROOT / "train.py"), *words, *root)


def output_of(*words: str) -> str:
    """Runs Python and returns what it printed. What is too slow is killed with all processes that it started.

    Raises:
        RuntimeError: with the end of what it said, if it failed or took more than LIMIT seconds.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            out, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired as problem:
            raise RuntimeError(f"{' '.join(words)}: took more than {LIMIT} s") from problem
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RuntimeError(f"{out}\n{errors}".strip()[-2000:])
    return str(out)


def apart(call: str) -> dict[str, Any]:
    """Returns the result of a check of this module that runs in a process of its own: a crash of CUDA ends only that.

    Raises:
        RuntimeError: see `output_of`.
    """
    code = f"import json; from tests import gpu_check; print(json.dumps(gpu_check.{call}))"
    result: dict[str, Any] = json.loads(output_of("-c", code).strip().splitlines()[-1])
    return result


def fit(cell: str, folder: Path, *words: str, epochs: int) -> None:
    """Trains a cell up to so many epochs, after its last checkpoint if there is one."""
    train_py("fit", "--cell", cell, "--runs-root", str(folder), f"--trainer.max_epochs={epochs}", *SHORT, *words)


def training(cell: str, folder: Path) -> dict[str, Any]:
    """Trains, resumes, evaluates and exports a cell; returns what is to be known of it.

    Raises:
        RuntimeError: if the second fit trained nothing or not on a GPU, or the integer program differs too much.
    """
    run = folder / cell / "seed=0"
    fit(cell, folder, epochs=1)
    (run / "result.json").unlink()
    fit(cell, folder, epochs=2)  # from its last checkpoint
    train_py("predict", "--run", str(run), "--output", str(folder / "predictions.csv"))
    train_py("export", "--run", str(run), "--float64")
    result = json.loads((run / "result.json").read_text())
    exactness = result["exactness"]
    if not result["durations"]["resumed"] or result["epochs"] != 2:
        raise RuntimeError(f"the second fit ended with {result['epochs']} epochs, {result['durations']}")
    if result["trained_on"] != ["cuda"] or exactness["margin_violations"]:
        raise RuntimeError(f"trained on {result['trained_on']}, exactness {exactness}")
    return {"metrics": result["metrics"], **{name: exactness[name] for name in ("codes", "codes_differing")}}


def on_all_devices(folder: Path) -> dict[str, Any]:
    """Trains on as many GPUs as there are.

    Raises:
        RuntimeError: if that fails.
    """
    devices = torch.cuda.device_count()
    if devices < 2:
        return {"passed": None, "remark": "not tried: one GPU"}
    several = (f"--trainer.devices={devices}", "--trainer.strategy=ddp")
    fit("digits/gin/dq_int8", folder / "ddp", *several, epochs=2)
    return {"devices": devices}


def demo(folder: Path) -> dict[str, Any]:
    """Runs the demo.

    Raises:
        RuntimeError: if it trained elsewhere than on a GPU.
    """
    train_py("demo", "--runs-root", str(folder / "demo"))
    results = [json.loads(path.read_text()) for path in sorted((folder / "demo").rglob("result.json"))]
    elsewhere = {result["cell"]: result["trained_on"] for result in results if result["trained_on"] != ["cuda"]}
    if elsewhere or not results:
        raise RuntimeError(f"{len(results)} runs, trained elsewhere: {elsewhere}")
    return {"runs": len(results)}


def speed(cell: str, more: tuple[str, ...], steps: int, data: Path | None) -> dict[str, Any]:
    """Times steps of all schemes against those of FP32."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "steps.json"
        cells = [word for scheme in SCHEMES for word in ("--cell", f"{cell}/{scheme}")]
        words = ("--steps", str(steps), "--device", "cuda", "--output", str(output))
        train_py("benchmark", "training", *cells, *words, *more, data=data)
        rows = json.loads(output.read_text())["steps"]
    return {row["cell"].rpartition("/")[2]: f"{row['median']:.2f} ms, {row['ratio']:.2f}x" for row in rows}


def codes() -> dict[str, Any]:
    """Compares every value of all programs of the engine's tests, at 8 and 4 bits, with the reference.

    Raises:
        RuntimeError: if a code differs.
    """
    from app.engine import Executable
    from tests.app.engine.maker import Maker
    from tests.app.engine.programs import PROGRAMS, WEIGHTED_PROGRAMS, Draft

    compared, wrong, maker = 0, [], Maker(1)
    x, edges = maker.rng.normal(size=(2000, 64)).astype(np.float32), maker.edges(2000, 20_000)
    weights, batch = maker.rng.normal(0.3, 0.5, 20_000).astype(np.float32), np.arange(2000) // 100
    for bits in (8, 4):
        for kind, make in {**PROGRAMS, **WEIGHTED_PROGRAMS}.items():
            program, given = make(Draft(0, 64, bits), 16, 10), weights if kind in WEIGHTED_PROGRAMS else None
            expected, got = (
                Executable(program, **where).trace(x, edges, batch, 21, edge_weight=given)
                for where in ({"backend": "reference"}, {"device": "cuda"})
            )
            compared += sum(value.size for value in expected.values())
            wrong += [f"{kind} {bits}: {name}" for name in expected if not np.array_equal(expected[name], got[name])]
    if wrong:
        raise RuntimeError(f"differ from the reference: {', '.join(wrong)}")
    return {"values compared": compared}


def latency(workload: str, network: str) -> dict[str, Any]:
    """Times the programs of a network on the GPU against PyG and floats of our own.

    Raises:
        RuntimeError: if a code differs from the reference.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "latency.json"
        train_py("benchmark", "latency", "--device", "cuda", "--workload", workload, "--network", network,
                 "--repeats", "20", "--output", str(output))  # fmt: skip
        figures = json.loads(output.read_text())
    if any(figures["codes_differing"].values()):
        raise RuntimeError(f"codes differ from the reference: {figures['codes_differing']}")
    return {
        result["network"]: {
            row["name"]: f"{row['fastest']:.2f} ms, {row['memory'] / 1e6:.0f} MB" for row in result["rows"]
        }
        for result in figures["results"]
    }


def run_tests(*paths: str) -> dict[str, Any]:
    """Runs tests that take the GPU where there is one.

    Raises:
        RuntimeError: if one failed or was skipped, or none passed.
    """
    return {"ends": all_passed(output_of("-m", "pytest", "-n0", "-o", "addopts=", "--import-mode=importlib", *paths))}


def all_passed(said: str) -> str:
    """Returns the last line of what pytest said.

    Raises:
        RuntimeError: if a test was skipped, or none passed.
    """
    end = said.strip().splitlines()[-1]
    if not re.search(r"\b[1-9]\d* passed", end) or "skipped" in end:
        raise RuntimeError(f"every test has to pass, none to be skipped: {end}")
    return end


def profile(steps: int) -> dict[str, Any]:
    """Returns what takes longest in steps of Degree-Quant on digits, by op, in milliseconds of the GPU."""
    from app.benchmarks.training import stepper
    from app.config.cells import select
    from app.runs.experiment import Experiment

    with tempfile.TemporaryDirectory() as folder:
        built = Experiment.of_cell(select("digits/gin/dq_int8")[0], 0).build(Path(folder))
        built.datamodule.prepare_data()
        built.datamodule.setup("fit")
        step = stepper(built, list(built.datamodule.train_dataloader()), torch.device("cuda", 0))
    for _ in range(steps):
        step()
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as seen:
        for _ in range(steps):
            step()
    events = sorted(seen.key_averages(), key=lambda event: -event.self_device_time_total)[:12]
    return {event.key[:60]: f"{event.self_device_time_total / 1000 / steps:.3f}" for event in events}


def checks(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yields the checks by name, what breaks first in front."""
    yield "kernels of training", lambda: run_tests(*KERNELS_OF_TRAINING)
    yield "kernels of the engine", lambda: run_tests("tests/app/engine/cuda", "tests/app/benchmarks/cuda")
    yield "codes of programs", lambda: apart("codes()")
    yield "runs", lambda: run_tests("-m", "gpu", "tests/app/runs/test_gpu.py")
    yield "demo", lambda: demo(folder)
    for cell in CELLS:
        yield cell, lambda cell=cell: training(cell, folder)  # type: ignore[misc]
    yield "several GPUs", lambda: on_all_devices(folder)
    timed = TIMED | (TIMED_WITH_DATA if options.data else {})
    for cell, more in timed.items():
        yield f"speed of {cell}", lambda cell=cell, more=more: speed(cell, more, options.steps, options.data)  # type: ignore[misc]
    for workload, network in product(("cifar10", "reddit"), ("gcn", "gin", "sage", "gat")):
        name = f"latency of {network} on {workload}"
        yield name, lambda workload=workload, network=network: latency(workload, network)  # type: ignore[misc]
    yield "profile of digits/gin/dq_int8", lambda: apart(f"profile({options.steps})")


def main() -> int:
    """Runs all checks, prints them as they end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD")
    options = parser.parse_args()
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"error: these packages are missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("error: torch finds no GPU with CUDA here", file=sys.stderr)
        return 2
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    console, rows, name_of_gpu = Console(), [], torch.cuda.get_device_name(0)
    with tempfile.TemporaryDirectory() as folder:
        chosen = [one for one in checks(options, Path(folder)) if any(word in one[0] for word in options.only)]
        if not chosen:
            names = ", ".join(name for name, _ in checks(options, Path(folder)))
            parser.error(f"--only: no check is called so; there are {names}")
        for name, check in chosen:
            start = time.perf_counter()
            try:
                row = {"check": name, "passed": True, **check()}
            except Exception as problem:
                row = {"check": name, "passed": False, "problem": str(problem)}
            rows.append({**row, "seconds": round(time.perf_counter() - start, 1)})
            console.print(rows[-1])
            if options.output:  # kept at once: the machine may be taken away
                options.output.write_text(json.dumps({"device": name_of_gpu, "checks": rows}, indent=1))
    table = Table("check", "passed", "seconds", title=name_of_gpu)
    for row in rows:
        table.add_row(row["check"], "not tried" if row["passed"] is None else str(row["passed"]), str(row["seconds"]))
    console.print(table)
    return 1 if any(row["passed"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
