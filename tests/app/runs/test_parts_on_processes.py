"""A graph in parts on two real processes: what each holds after every step.

Each process imports this file.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.multiprocessing import spawn

from tests.meeting import meet

SCHEMES = ("qat_int8", "dq_int8", "lsq_int8", "distil_int8")
EPOCHS, STEPS = 3, 2
"""Steps of a process in an epoch: of 7 parts, one twice, 2 in a step and 2 processes."""

WORDS = (
    "--data.num_nodes=300", "--data.num_features=100", "--data.num_val=60", "--data.num_test=60", "--data.parts=7",
    "--data.parts_per_step=2", f"--trainer.max_epochs={EPOCHS}", "--trainer.accelerator=cpu", "--trainer.devices=2",
    "--trainer.strategy=ddp", "--trainer.logger=false", "--init_from=null",
)  # fmt: skip


class Held(pl.Callback):
    """Keeps weights and ranges of every step, before an evaluation gives all processes those of the first one."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.nodes: list[int] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.nodes.append(batch.num_nodes)
        from models.quantization.control import quantizers

        held = {name: value.clone() for name, value in pl_module.state_dict().items()}
        held |= {f"range of {site.name}": site.observer.range.clone() for site in quantizers(pl_module)}
        self.steps.append(held)


def work(rank: int, folder: str) -> None:
    """One process: trains every scheme, and saves what it held after every step."""
    _listening = meet(rank, 2, Path(folder))
    os.environ["DEGREE_QUANT_CACHE"] = folder
    from app.cli.process import prepare_process
    from app.config.cells import select
    from app.runs.experiment import Experiment

    prepare_process()
    torch.set_num_threads(1)
    found = {}
    for scheme in SCHEMES:
        (cell,) = select(f"synthetic/gcn/{scheme}")
        built = Experiment.of_cell(cell, 0, overrides=WORDS).quiet().build(Path(folder) / f"{scheme}{rank}")
        held, task = Held(), built.model
        if task.teacher is not None:
            task.teacher.network.load_state_dict(task.network.state_dict(), strict=False)
            task.teacher.known.fill_(True)
        built.trainer.callbacks = [*(c for c in built.trainer.callbacks if type(c).__name__ in KEPT), held]
        built.trainer.fit(task, built.datamodule)
        found[scheme] = {"steps": held.steps, "nodes": held.nodes}
    torch.save(found, f"{folder}/{rank}.pt")


KEPT = ("RangeTracker", "RangeSync", "PercentileSampling", "MaskSchedule")
"""Callbacks of which training consists; the others write files."""


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """What each of the two processes held, by scheme."""
    folder = tmp_path_factory.mktemp("parts")
    spawn(work, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_and_ranges_are_equal_after_every_step_on_uneven_parts(held, scheme):
    one, other = (process[scheme] for process in held)
    assert one["nodes"] != other["nodes"]
    assert len(one["steps"]) == len(other["steps"]) == EPOCHS * STEPS
    for step, (mine, theirs) in enumerate(zip(one["steps"], other["steps"], strict=True)):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            assert torch.equal(value.nan_to_num(), theirs[name].nan_to_num()), (step, name)
    first, last = one["steps"][0], one["steps"][-1]
    ranges = [value for name, value in last.items() if name.startswith("range of")]
    assert len(ranges) > 5
    assert torch.stack(ranges).isfinite().all()
    assert any(not torch.equal(first[name], last[name]) for name in first if name.endswith("weight"))
