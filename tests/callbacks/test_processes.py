"""Callbacks in a LightningModule of somebody's own, trained by two real processes on different data.

Each process imports this file, so it imports no more than it needs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.multiprocessing import spawn
from torch.nn.functional import cross_entropy
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCN

from app.engine import load_program
from callbacks import ExportInt8, MaskSchedule, PercentileSampling, RangeMonitor, RangeSync, RangeTracker
from callbacks.stopping import KeepSigterm
from models import prepare
from models.quantization.control import protections, quantizers
from tests.meeting import meet

NODES = 40
SAMPLE = 10**6
"""More than any tensor has: where numbers are drawn for a sample, processes part anyway."""


class OfSomebody(pl.LightningModule):
    """Has no validation, no datamodule and no seeding of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = prepare(GCN(5, 8, 2, 3, norm="batch_norm"), "dq_int8")
        self.held: list[dict[str, torch.Tensor]] = []

    def training_step(self, batch, batch_idx):
        return cross_entropy(self.encoder(batch.x, batch.edge_index), batch.y)

    def on_train_epoch_end(self):
        """What this process holds after the callbacks of an epoch."""
        self.held.append({name: value.detach().clone() for name, value in self.state_dict().items()})

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


def graphs() -> list[Data]:
    """Eight graphs, each with larger features than the one before."""
    draw = torch.Generator().manual_seed(0)
    return [
        Data(
            x=(1 + number) * torch.rand(NODES, 5, generator=draw),
            edge_index=torch.randint(NODES, (2, 160), generator=draw),
            y=torch.randint(3, (NODES,), generator=draw),
        )
        for number in range(8)
    ]


def work(rank: int, folder: str, processes: int) -> None:
    """One process: trains two epochs and saves what it holds in the end, and its draws."""
    _listening = meet(rank, processes, Path(folder))
    torch.set_num_threads(1)
    pl.seed_everything(0)
    module = OfSomebody()
    masks = []
    (protection,) = protections(module)
    draw = protection.draw
    protection.draw = lambda *of: masks.append(torch.stack(drawn := draw(*of))) or drawn
    callbacks = [
        RangeTracker(),
        RangeSync(),
        PercentileSampling(SAMPLE, SAMPLE),
        RangeMonitor(1),
        ExportInt8(f"{folder}/program"),
        KeepSigterm(),
    ]
    callbacks.append(MaskSchedule(0.5, 0.5, start_epoch=0, end_epoch=1))
    trainer = pl.Trainer(
        accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto", max_epochs=2,
        callbacks=callbacks, logger=CSVLogger(folder, "log", "") if rank == 0 else False, default_root_dir=folder,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    asked, broadcast = [], torch.distributed.broadcast
    torch.distributed.broadcast = lambda x, *how, **more: (
        asked.append((x.dtype, *x.shape)) or broadcast(x, *how, **more)
    )
    trainer.fit(module, DataLoader(graphs(), batch_size=2))
    held = {name: value.numpy() for name, value in module.state_dict().items()}
    ranges = {f"range of {site.name}": site.observer.range.numpy() for site in quantizers(module)}
    held |= {
        f"epoch {k}: {name}": value.numpy() for k, epoch in enumerate(module.held) for name, value in epoch.items()
    }
    held |= {"sent by DDP": np.array(list(trainer.strategy._ddp_kwargs.values())) if processes > 1 else 0}
    held |= {"asked": np.array(asked.count((torch.int64, 1)))}
    samples = [site.observer.sample for site in quantizers(module)]
    np.savez(f"{folder}/{rank}.npz", **held, **ranges, samples=samples, masks=torch.stack(masks).numpy())
    batch = Batch.from_data_list(graphs())
    module.encoder.eval()
    np.savez(f"{folder}/out{rank}.npz", logits=module.encoder(batch.x, batch.edge_index).detach().numpy())


@pytest.fixture(scope="module", params=[pytest.param(1, id="one"), pytest.param(2, id="two")])
def trained(request, tmp_path_factory):
    """The folder, and what each of one or two processes held."""
    folder = tmp_path_factory.mktemp("processes")
    spawn(work, args=(str(folder), request.param), nprocs=request.param)
    return folder, [dict(np.load(folder / f"{rank}.npz")) for rank in range(request.param)]


@pytest.mark.slow
def test_weights_and_ranges_are_those_of_all_processes(trained):
    _, held = trained
    for name, values in held[0].items():
        for other in held[1:]:
            assert name == "masks" or np.array_equal(values, other[name]), name
    assert all(np.isfinite(values).all() for name, values in held[0].items() if name.startswith("range of"))


@pytest.mark.slow
def test_no_process_asks_before_a_step_whether_another_was_told_to_stop(trained):
    assert [int(one["asked"]) for one in trained[1]] == [0] * len(trained[1])


@pytest.mark.slow
def test_each_process_draws_masks_of_its_own(trained):
    _, held = trained
    last = [one["masks"][-1] for one in held]  # every node was protected with the same probability by then
    assert last[0].any()
    assert len({masks.tobytes() for masks in last}) == len(held)


@pytest.mark.slow
def test_schedules_have_moved(trained):
    _, held = trained
    assert all((one["samples"] == SAMPLE).all() for one in held)
    assert [one["encoder.protection.p_min"].item() for one in held] == [0.5] * len(held)


@pytest.mark.slow
def test_every_site_is_logged_in_every_epoch(trained):
    folder, held = trained
    table = np.genfromtxt(folder / "log" / "metrics.csv", delimiter=",", names=True, deletechars="")
    scales = [name for name in table.dtype.names if name.startswith("scale/")]
    assert len(scales) == sum(name.startswith("range of") for name in held[0])
    assert np.isfinite([table[name] for name in scales]).sum() == 2 * len(scales)


@pytest.mark.slow
def test_the_program_is_that_of_the_module(trained):
    folder, _ = trained
    batch = Batch.from_data_list(graphs())
    logits = load_program(str(folder / "program")).run(batch.x, batch.edge_index)
    np.testing.assert_array_equal(logits, np.load(folder / "out0.npz")["logits"])


@pytest.mark.slow
def test_no_forward_sends_buffers_and_a_batch_norm_has_seen_data(trained):
    _, held = trained
    assert [one["sent by DDP"].tolist() for one in held] == ([0] if len(held) == 1 else [[False], [False]])
    (mean,) = (name for name in held[0] if name.startswith("encoder") and name.endswith("running_mean"))
    assert held[0][mean].any()
