"""Synchronises the ranges of all sites between the processes of a distributed training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from models.quantization.control import synchronise_ranges


class RangeSync(pl.Callback):
    """Gives all processes the same ranges after every training step, by one collective operation.

    Without it, DDP would overwrite them with those of rank 0 in the next forward. With one process it does nothing.
    """

    def on_train_batch_end(  # noqa: PLR0917 - Lightning's
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Synchronises the ranges."""
        synchronise_ranges(pl_module)
