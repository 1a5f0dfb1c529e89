"""What stops a training early: a loss that is NaN or infinite, and the signal SIGTERM."""

from __future__ import annotations

import signal
from threading import current_thread, main_thread

import pytorch_lightning as pl

ASKS = "_broadcast_sigterm_tensor"
"""The method of Lightning's loop over batches that tells all processes whether the first one got SIGTERM."""


class DivergedError(ValueError):
    """A loss is NaN or infinite."""


class Divergence(pl.Callback):
    """Checks the logged losses after every training epoch.

    Raises:
        DivergedError: in `on_train_epoch_end`, if a loss is NaN or infinite.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks every logged metric whose name ends in `/loss`."""
        for name, value in trainer.callback_metrics.items():
            if name.endswith("/loss") and not value.isfinite():
                raise DivergedError(f"diverged: {name} is {float(value)} in epoch {trainer.current_epoch}")


class KeepSigterm(pl.Callback):
    """Leaves what SIGTERM does as it was before Lightning, which puts in a handler of its own whenever it starts.

    That handler waits for the other processes wherever they are, so that several of them would hang until their
    patience ends; and the worker of a grid would end with exit code 0. Without it nobody needs to ask before every
    step, by a broadcast and a wait for the GPU, whether it was called.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remembers the handler; Lightning's comes after it. Several processes no longer ask about it."""
        self.handler = signal.getsignal(signal.SIGTERM)
        steps = trainer.fit_loop.epoch_loop
        if hasattr(steps, ASKS):  # as of Lightning 2.6
            setattr(steps, ASKS, lambda: None)

    def put_back(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the handler back."""
        if current_thread() is main_thread():  # elsewhere neither Lightning nor Python sets one
            signal.signal(signal.SIGTERM, self.handler or signal.SIG_DFL)

    on_sanity_check_start = on_train_start = on_validation_start = on_test_start = on_predict_start = put_back
