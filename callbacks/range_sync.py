"""Synchronises the ranges of all sites between the processes of a distributed training."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from models.quantization.control import synchronise_ranges
from models.quantization.ranks import share_buffers
from models.seeds import derived_seed

NAMES = ("forward_sync_buffers", "broadcast_buffers")
"""What DDP calls the setting that every forward begins with the buffers of the first process: from torch 2.13 on, and
before."""


class RangeSync(pl.Callback):
    """Gives all processes the same ranges after every training step, by one collective operation.

    With one process it does nothing. With several it keeps DDP from sending all buffers of the first process (those of
    a teacher, too) in every forward: ranges agree already, and the means and variances of a BatchNorm are used in
    evaluation only. Before it, and at the end of an epoch, all take those of the first process, whose checkpoint stays.

    Lightning seeds all processes alike, so that they would protect the same nodes and drop the same entries: each draws
    numbers of its own from the start of training on. Our tasks seed every batch besides.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Tells DDP, before it wraps the model, that buffers are not its business; unless it was told otherwise."""
        if isinstance(trainer.strategy, DDPStrategy):
            settings, known = trainer.strategy._ddp_kwargs, signature(DistributedDataParallel).parameters
            if not settings.keys() & set(NAMES):
                settings[next(name for name in NAMES if name in known)] = False

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives all processes the buffers of the first one."""
        share_buffers(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The same, where nothing is validated."""
        share_buffers(pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seeds the random numbers of every process but the first by its rank."""
        if trainer.global_rank > 0:
            torch.manual_seed(derived_seed(trainer.global_rank))

    def on_train_batch_end(  # noqa: PLR0917 - Lightning's
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Synchronises the ranges."""
        synchronise_ranges(pl_module)
