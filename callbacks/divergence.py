"""Ends a training that has come apart."""

from __future__ import annotations

import pytorch_lightning as pl


class DivergedError(ValueError):
    """A loss is not a number any more."""


class Divergence(pl.Callback):
    """Looks at the logged losses after every training epoch.

    Raises:
        DivergedError: if one is infinite or not a number.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See the class."""
        for name, value in trainer.callback_metrics.items():
            if name.endswith("/loss") and not value.isfinite():
                raise DivergedError(f"diverged: {name} is {float(value)} in epoch {trainer.current_epoch}")
