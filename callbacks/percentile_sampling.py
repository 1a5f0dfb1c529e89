"""How many entries a percentile looks at, over epochs."""

from __future__ import annotations

import pytorch_lightning as pl

from models.quantization.control import quantizers


class PercentileSampling(pl.Callback):
    """Sets the sample size of all percentile trackers: small while weights move fast, larger later.

    A sample bounds the cost of a quantile on large tensors; below its size tensors are looked at whole.

    Args:
        first, last: entries sampled in the first epoch and from `epochs` on; geometric in between.
        epochs: length of the transition.

    Raises:
        ValueError: unless all are at least 1.
    """

    def __init__(self, first: int = 100_000, last: int = 100_000, epochs: int = 1) -> None:
        if min(first, last, epochs) < 1:
            raise ValueError(f"PercentileSampling: all arguments must be at least 1, got {first}, {last}, {epochs}")
        self.first, self.last, self.epochs = first, last, epochs

    def sample_in(self, epoch: int) -> int:
        """Entries to sample in this epoch."""
        return round(self.first * (self.last / self.first) ** min(epoch / self.epochs, 1.0))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sets the sample size of this epoch."""
        for quantizer in quantizers(pl_module):
            quantizer.observer.sample = self.sample_in(trainer.current_epoch)
