"""Checks that put something on the GPU themselves; each runs in a process of its own, see `processes.apart`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

GPU = torch.device("cuda", 0)
QUANTIZED = ("qat_int8", "dq_int8", "lsq_int8")


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


def waits(steps: int) -> dict[str, Any]:
    """Trains steps, on batches sent anew, in which torch lets nothing wait for the GPU: it raises where that is tried.

    Raises:
        RuntimeError: at the line that waits, or if torch raises for nothing.
    """
    for scheme in QUANTIZED:
        step = step_of_cell(f"digits/gin/{scheme}")
        for _ in range(steps):  # so that every range has begun
            step()
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(steps):
            step()
        try:
            torch.ones(1, device=GPU).item()
        except RuntimeError:
            torch.cuda.set_sync_debug_mode("default")
        else:
            raise RuntimeError("torch says nothing of what waits: this check is worth nothing here")
    return {"steps of each": steps, "schemes": ", ".join(QUANTIZED)}


def profile(steps: int) -> dict[str, Any]:
    """Returns what takes longest in steps of Degree-Quant on digits, by op, in milliseconds of the GPU."""
    step = step_of_cell("digits/gin/dq_int8")
    for _ in range(steps):
        step()
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as seen:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    events = sorted(seen.key_averages(), key=lambda event: -event.self_device_time_total)[:12]
    return {event.key[:60]: f"{event.self_device_time_total / 1000 / steps:.3f}" for event in events}


def step_of_cell(cell: str) -> Callable[[], None]:
    """Returns a function that sends the next batch of a cell to the GPU, as another object each time, and trains."""
    from app.benchmarks.training import step_of
    from app.config.cells import select
    from app.runs.experiment import Experiment
    from models.tasks import on_device

    with tempfile.TemporaryDirectory() as folder:
        built = Experiment.of_cell(select(cell)[0], 0).build(Path(folder))
        built.datamodule.prepare_data()
        built.datamodule.setup("fit")
        batches: cycle[Data] = cycle(list(built.datamodule.train_dataloader()))
    step = step_of(built.model.to(GPU).train())
    return lambda: step(on_device(next(batches).clone(), GPU))
