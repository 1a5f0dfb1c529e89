"""The checks by name: trainings, exactness, several GPUs, speed, programs."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.gpu_check.processes import apart, run_tests, train_py

SCHEMES = ("fp32", "qat_int8", "dq_int8", "lsq_int8")
KERNELS_OF_TRAINING = ("tests/models/quantization/fused/test_device.py", "tests/models/quantization/test_sparse.py")
CELLS = ("synthetic/gcn/dq_int8", "synthetic/gat/lsq_int8", "digits/gin/dq_int8", "digits/gcn/lsq_dq_int4")
SHORT = ("--trainer.enable_progress_bar=false", "--trainer.accelerator=gpu")
TIMED = {"digits/gin": (), "digits/gcn": ()}
TIMED_WITH_DATA = {
    "mnist/gin": ("--data.train_size", "5000"), "mnist/gcn": ("--data.train_size", "5000"), "reddit_binary/gin": ()
}  # fmt: skip
PROGRAMS = tuple(product(("cifar10", "reddit"), ("gcn", "gin", "sage", "gat")))
"""Workloads and networks of which latency is timed."""


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
    make_unfinished(run, epochs=2)
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


def make_unfinished(run: Path, *, epochs: int) -> None:
    """Makes a finished run of one epoch what a run of more epochs is when it is cut short after the first."""
    (run / "result.json").unlink()
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["trainer"]["max_epochs"] = epochs
    (run / "config.yaml").write_text(yaml.safe_dump(config))


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


def checks(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yields the checks by name, what breaks first in front."""
    yield "kernels of training", lambda: run_tests(*KERNELS_OF_TRAINING)
    yield "kernels of the engine", lambda: run_tests("tests/app/engine/cuda", "tests/app/benchmarks/cuda")
    yield "codes of programs", lambda: apart("codes()")
    yield "waits of a step", lambda: apart("waits(20)")
    yield "runs", lambda: run_tests("-m", "gpu", "tests/app/runs/test_gpu.py")
    yield "demo", lambda: demo(folder)
    for cell in CELLS:
        yield f"training/{cell}", lambda cell=cell: training(cell, folder)  # type: ignore[misc]
    yield "several GPUs", lambda: on_all_devices(folder)
    timed = TIMED | (TIMED_WITH_DATA if options.data else {})
    for cell, more in timed.items():
        yield f"speed/{cell}", lambda cell=cell, more=more: speed(cell, more, options.steps, options.data)  # type: ignore[misc]
    for workload, network in PROGRAMS:
        name = f"latency/{workload}/{network}"
        yield name, lambda workload=workload, network=network: latency(workload, network)  # type: ignore[misc]
    yield "profile of a step", lambda: apart(f"profile({options.steps})")
