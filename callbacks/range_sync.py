"""One range for all ranks."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from models.quantization.control import synchronise_ranges


class RangeSync(pl.Callback):
    """After every training step all ranks agree on the ranges of all sites, by one collective.

    DDP alone would overwrite them with those of rank 0 at the next forward. With one process it does nothing.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Synchronises."""
        synchronise_ranges(pl_module)
