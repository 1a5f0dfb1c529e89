"""Synchronises the ranges of all sites between the processes of a distributed training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from models.quantization.control import synchronise_ranges
from models.seeds import derived_seed


class RangeSync(pl.Callback):
    """Gives all processes the same ranges after every training step, by one collective operation.

    Without it, DDP would overwrite them with those of rank 0 in the next forward. With one process it does nothing.

    Lightning seeds all processes alike, so that they would protect the same nodes and drop the same entries: each draws
    numbers of its own from the start of training on. Our tasks seed every batch besides.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seeds the random numbers of every process but the first by its rank."""
        if trainer.global_rank > 0:
            torch.manual_seed(derived_seed(trainer.global_rank))

    def on_train_batch_end(  # noqa: PLR0917 - Lightning's
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Synchronises the ranges."""
        synchronise_ranges(pl_module)
